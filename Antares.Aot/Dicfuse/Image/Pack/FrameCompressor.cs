using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using K4os.Hash.xxHash;
using ZstdSharp.Unsafe;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// Compresses frames on several threads and writes them to a file in the order in which they were given. Each frame is compressed by
/// itself, so neither the bytes nor their order depend on the number of threads.
/// </summary>
internal sealed unsafe class FrameCompressor : IDisposable
{
    private readonly int _fd;
    private readonly int _level;
    private readonly NativeList<ImageFrame> _frames;
    private readonly Job[] _jobs;
    private readonly Thread[] _threads;
    private readonly object _gate = new();
    private long _given;
    private long _taken;
    private long _written;
    private ulong _position;
    private ulong _packed;
    private bool _stop;
    private string? _problem;

    /// <param name="fd">Receives the packed bytes from its start on.</param>
    /// <param name="level">zstd level.</param>
    /// <param name="frameBytes">Most raw bytes of a frame.</param>
    /// <param name="threads">At least 1.</param>
    /// <param name="frames">Receives an entry for each frame.</param>
    public FrameCompressor(int fd, int level, int frameBytes, int threads, NativeList<ImageFrame> frames)
    {
        _fd = fd;
        _level = level;
        _frames = frames;
        _jobs = new Job[(2 * threads) + 2];
        for (int i = 0; i < _jobs.Length; i++)
        {
            _jobs[i] = new Job(frameBytes);
        }

        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = new Thread(Work) { IsBackground = true, Name = "compressor" };
            _threads[i].Start();
        }
    }

    /// <summary>Bytes written.</summary>
    public ulong PackedBytes => _packed;

    /// <summary>Room for the raw bytes of the next frame; waits until there is some.</summary>
    /// <exception cref="ImageException">An earlier frame could not be compressed or written.</exception>
    public byte* Room()
    {
        Job job = _jobs[_given % _jobs.Length];
        lock (_gate)
        {
            while (_given - _written >= _jobs.Length && _problem == null)
            {
                _ = Monitor.Wait(_gate); // without a limit of time it only returns true
            }

            ThrowProblem();
        }

        return job.Raw;
    }

    /// <summary>Gives the frame whose bytes are in <see cref="Room"/>.</summary>
    public void Give(int rawBytes)
    {
        Job job = _jobs[_given % _jobs.Length];
        lock (_gate)
        {
            job.RawBytes = (ulong)rawBytes;
            job.IsDone = false;
            _given++;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Gives a frame of zeros.</summary>
    public void GiveZeros(ulong length)
    {
        _ = Room(); // waits for the place; its bytes are not used
        Job job = _jobs[_given % _jobs.Length];
        lock (_gate)
        {
            job.RawBytes = length;
            job.PackedBytes = 0;
            job.IsDone = true;
            _given++;
            WriteDone();
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Waits for all frames and ends the table.</summary>
    /// <returns>Length of the stream.</returns>
    /// <exception cref="ImageException">A frame could not be compressed or written.</exception>
    public ulong Finish()
    {
        lock (_gate)
        {
            while (_written < _given && _problem == null)
            {
                _ = Monitor.Wait(_gate); // as above
            }

            ThrowProblem();
            _frames.Add(new ImageFrame { Start = _position, Packed = _packed });
            return _position;
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _stop = true;
            Monitor.PulseAll(_gate);
        }

        foreach (Thread thread in _threads)
        {
            thread.Join();
        }

        foreach (Job job in _jobs)
        {
            job.Free();
        }
    }

    private void ThrowProblem()
    {
        if (_problem != null)
        {
            throw new ImageException(_problem);
        }
    }

    private void Work()
    {
        ZSTD_CCtx_s* context = null;
        try
        {
            context = Methods.ZSTD_createCCtx();
            if (context == null)
            {
                throw new OutOfMemoryException();
            }

            while (TryTake() is { } job)
            {
                Compress(context, job);
                lock (_gate)
                {
                    job.IsDone = true;
                    WriteDone();
                    Monitor.PulseAll(_gate);
                }
            }
        }
        catch (OutOfMemoryException)
        {
            Fail("there is no memory to compress with");
        }
        finally
        {
            if (context != null)
            {
                // Cannot fail for a context that is not in use.
                _ = Methods.ZSTD_freeCCtx(context);
            }
        }
    }

    private Job? TryTake()
    {
        lock (_gate)
        {
            while (true)
            {
                if (_stop || _problem != null)
                {
                    return null;
                }

                // Zeros are written without being taken.
                _taken = Math.Max(_taken, _written);
                if (_taken < _given)
                {
                    Job job = _jobs[_taken++ % _jobs.Length];
                    if (!job.IsDone)
                    {
                        return job;
                    }
                }
                else
                {
                    _ = Monitor.Wait(_gate); // as above
                }
            }
        }
    }

    private void Compress(ZSTD_CCtx_s* context, Job job)
    {
        nuint raw = (nuint)job.RawBytes;
        nuint result = Methods.ZSTD_compressCCtx(context, job.Packed, job.PackedRoom, job.Raw, raw, _level);
        bool smaller = !Methods.ZSTD_isError(result) && result < raw;
        job.Source = smaller ? job.Packed : job.Raw;
        job.PackedBytes = smaller ? (int)result : (int)raw;
        job.Checksum = XXH64.DigestOf(job.Source, job.PackedBytes);
    }

    /// <summary>Writes what is done and next in turn. Called under the gate.</summary>
    private void WriteDone()
    {
        while (_written < _given && _problem == null)
        {
            Job job = _jobs[_written % _jobs.Length];
            if (!job.IsDone)
            {
                return;
            }

            ulong checksum = 0;
            if (job.PackedBytes != 0)
            {
                checksum = job.Checksum;
                Errno error = FileIo.WriteFull(_fd, job.Source, (nuint)job.PackedBytes, (long)_packed);
                if (error != Errno.None)
                {
                    _problem = $"the packed contents cannot be written: {error}";
                    return;
                }
            }

            _frames.Add(new ImageFrame { Start = _position, Packed = _packed, Checksum = checksum });
            _position += job.RawBytes;
            _packed += (ulong)job.PackedBytes;
            _written++;
        }
    }

    private void Fail(string problem)
    {
        lock (_gate)
        {
            _problem ??= problem;
            Monitor.PulseAll(_gate);
        }
    }

    private sealed class Job
    {
        public readonly nuint PackedRoom;
        public readonly byte* Raw;
        public readonly byte* Packed;
        public byte* Source;
        public ulong RawBytes;
        public int PackedBytes;
        public ulong Checksum;
        public bool IsDone;

        public Job(int frameBytes)
        {
            PackedRoom = Methods.ZSTD_compressBound((nuint)frameBytes);
            Raw = (byte*)NativeMemory.Alloc((nuint)frameBytes);
            Packed = (byte*)NativeMemory.Alloc(PackedRoom);
        }

        public void Free()
        {
            NativeMemory.Free(Raw);
            NativeMemory.Free(Packed);
        }
    }
}
