using System.Diagnostics;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The way of one request: check its shape, refuse our own threads, answer what libfuse does not know and what is frequent, hand the rest to libfuse (which
/// calls <see cref="FuseOps"/>), count. Allocates nothing, but for a signal to who waits.
/// </summary>
internal sealed unsafe class Dispatcher(
    FuseServer server, fuse_session* session, RawRequests raw, RoomRelief room, OwnThreads ownThreads, FailureReporter failures, MountDiagnostics diagnostics)
{
    private const int LookAgainMs = 2;

    private readonly OpCounters _counters = diagnostics.Counters;
    private bool _ended;

    /// <summary>The calling thread will serve requests, or (false) no longer does.</summary>
    public void Attach(bool serves) => FailureReporter.OfThread = serves ? failures : null;

    /// <summary>The mount is gone: what waits for a turn is dropped, and nothing waits any more.</summary>
    public void End() => Volatile.Write(ref _ended, true);

    /// <summary>Answers the request that the calling thread has read.</summary>
    /// <param name="context">Of the calling thread; its Header points at the request.</param>
    /// <param name="got">Bytes that the read gave.</param>
    /// <param name="started">When it came, in ticks of <see cref="Stopwatch"/>.</param>
    /// <remarks>And then those that waited for what this one gives back (<see cref="RequestPlaces"/>).</remarks>
    public void Serve(RequestContext* context, nuint got, long started)
    {
        // Each look at the clock costs: this one is the loop's, as the last one of a request is.
        Volatile.Write(ref context->Started, started);
        do
        {
            context->AwaitedRoom = false;
            ServeWithRoom(context, got, started);
            while (context->ToWait && !Volatile.Read(ref _ended))
            {
                RequestPlaces.Putting put = RequestWait.PutAside(context->Header, got);
                if (put == RequestPlaces.Putting.Aside)
                {
                    context->Ended = Stopwatch.GetTimestamp();
                    break;
                }

                if (put == RequestPlaces.Putting.Full && context->AwaitsRoom)
                {
                    // The thread is needed to read what tells of room.
                    context->AwaitedRoom = true;
                    ServeOne(context, got, started);
                    continue;
                }

                // Never refused: what was accepted from a program is done, or fails as its source does. What does not fit keeps its thread, and
                // with no thread left the others wait with the kernel.
                if (put == RequestPlaces.Putting.Full)
                {
                    if (context->Started == 0)
                    {
                        // The watching thread counts this one as stuck from here on.
                        Volatile.Write(ref context->Started, Stopwatch.GetTimestamp());
                        _ = RequestWait.Announce(); // waits in any case
                    }

                    Thread.Sleep(LookAgainMs);
                }
                else
                {
                    Volatile.Write(ref context->Started, 0);
                    started = RequestWait.TurnOf(started);
                    ServeWithRoom(context, got, started);
                }
            }

            Volatile.Write(ref context->Started, 0);
        }
        while (RequestWait.TryNext(context->Header, LoopBuffer.RequestCapacity, Volatile.Read(ref _ended), out got, out started));
    }

    private void ServeWithRoom(RequestContext* context, nuint got, long started)
    {
        ServeOne(context, got, started);
        if (context->AwaitsRoom)
        {
            Volatile.Write(ref context->Started, Stopwatch.GetTimestamp());
            context->ToWait = !room.TryWait(context->RoomEnded);
            Volatile.Write(ref context->Started, 0);
            if (context->ToWait)
            {
                return;
            }

            context->AwaitedRoom = true;
            ServeOne(context, got, started);
        }
    }

    private void ServeOne(RequestContext* context, nuint got, long started)
    {
        if (context->Started == 0)
        {
            Volatile.Write(ref context->Started, Stopwatch.GetTimestamp());
        }

        context->Outcome = Errno.None;
        context->Answered = false;
        context->ToWait = false;
        context->AwaitsRoom = false;
        context->RoomEnded = room.Ended;
        Failure.Clear();
        RequestWait.Start(started);
        bool isWhole = got >= (nuint)sizeof(fuse_in_header);
        CallerWait.Start(isWhole ? context->Header->unique : 0, isWhole ? context->Header->pid : 0);

        bool parsed = RequestShape.Parse(context, got);
        if (parsed)
        {
            // INTERRUPT and what has no reply is let through: refusing it would lose it, and it waits for nobody.
            bool refuse = ownThreads.Contains(context->Header->pid) && RequestShape.HasReply(context->Opcode);
            if (refuse)
            {
                _ = Failure.Note("server", "own thread", Errno.EIO); // hands back what it was given
                raw.AnswerError(context, Errno.EIO);
            }
            else if (FuseOps.IsDirect(context->Opcode))
            {
                AnswerDirectly(context);
            }
            else if (RawRequests.Handles(context->Opcode))
            {
                AnswerRaw(context);
            }
            else
            {
                var buffer = new fuse_buf { size = got, mem = context->Header, fd = -1 };
                Session.fuse_session_process_buf(session, &buffer);
                if (!context->Answered)
                {
                    NoteAnswerOfLibfuse(context);
                }
            }
        }
        else
        {
            RefuseMalformed(context, got);
        }

        bool isServedAgain = context->ToWait || context->AwaitsRoom;
        if (context->IsPiped)
        {
            PipedRequests.Empty(context, isServedAgain);
        }

        Volatile.Write(ref context->Started, 0);
        context->Ended = Stopwatch.GetTimestamp();
        if (isServedAgain)
        {
            return;
        }

        uint opcode = got >= (nuint)sizeof(fuse_in_header) ? context->Header->opcode : OpNames.Other;
        _counters.Record(opcode, context->Outcome, context->Ended - started);
    }

    private void AnswerDirectly(RequestContext* context)
    {
        try
        {
            FuseOps.Direct(new FuseRequest(server, context));
        }
        catch (Exception exception)
        {
            Crashed(context, exception);
        }
    }

    private void AnswerRaw(RequestContext* context)
    {
        try
        {
            raw.Answer(context);
        }
        catch (Exception exception)
        {
            Crashed(context, exception);
        }
    }

    private void Crashed(RequestContext* context, Exception exception)
    {
        failures.NoteException(context, exception);
        if (!context->Answered)
        {
            raw.AnswerError(context, Errno.EIO);
        }
    }

    // Operations without a trampoline: libfuse says ENOSYS, but success to the end of handles that were never given out.
    private void NoteAnswerOfLibfuse(RequestContext* context)
    {
        if (context->Opcode is fuse_opcode.FUSE_RELEASE or fuse_opcode.FUSE_RELEASEDIR or fuse_opcode.FUSE_DESTROY)
        {
            return;
        }

        context->Outcome = Errno.ENOSYS;
        if (!OrdinaryAnswers.Contains(context->Opcode, Errno.ENOSYS))
        {
            diagnostics.NoteMissing(context->Header->opcode);
        }
    }

    private void RefuseMalformed(RequestContext* context, nuint got)
    {
        context->Outcome = Errno.EIO;
        diagnostics.Log.Error($"request of {got} bytes is not what its header says: refused");
        if (got >= (nuint)sizeof(fuse_in_header) && RequestShape.HasReply(context->Opcode))
        {
            context->Name = default;
            _ = Failure.Note("server", "request shape", Errno.EIO); // hands back what it was given
            raw.AnswerError(context, Errno.EIO);
        }
    }
}
