using System.Buffers.Binary;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What is known of a directory at the pinned revision beyond its tree.</summary>
[Flags]
internal enum ViewFlags : byte
{
    None = 0,

    /// <summary>An import repository begins here: its tree is not the one that the parent names, and has revisions of its own.</summary>
    Boundary = 1,

    /// <summary>The modes of some entries are guesses.</summary>
    ModesUnsure = 2,

    /// <summary>Not the tree of the pinned revision, shown because the user said so.</summary>
    Drifted = 4,
}

/// <summary>A directory's tree, which is in the store.</summary>
/// <param name="Tree">Id of the raw tree.</param>
/// <param name="Flags">What else is known.</param>
internal readonly record struct MegaView(ObjectId Tree, ViewFlags Flags);

/// <summary>
/// What a server said about revisions and paths, kept in the store so that the next mount of the same revision need not ask: git ids
/// alone do not tell the root of a revision, nor where an import repository begins.
/// </summary>
/// <remarks>
/// Keys are hashes of "SERVER, REVISION, question". A record:
/// <code>
/// offset size  field
///  0      1    version   4; earlier ones could be of another revision than the pinned one, or have its modes, and are not believed
///  1      1    flags     ViewFlags
///  2      2    zero
///  4     20    id        tree, or commit
/// 24      8    seconds   time of a commit
/// </code>
/// </remarks>
internal sealed class MegaViews(ObjectStore store, string server)
{
    private const int RecordBytes = 32;
    private const byte Version = 4;

    /// <summary>The tree of a directory at a commit.</summary>
    public bool TryFind(in ObjectId commit, string path, out MegaView view)
    {
        bool found = TryRead(Key($"{commit}\npath {path}"), out ObjectId id, out ViewFlags flags, out _);
        view = new MegaView(id, flags);
        return found;
    }

    public Errno Add(in ObjectId commit, string path, MegaView view) => Write(Key($"{commit}\npath {path}"), view.Tree, view.Flags, 0);

    /// <summary>The commit that a revision led to when it was last asked for; "" is the server's head.</summary>
    public bool TryFindRevision(string revision, out MegaCommit commit)
    {
        bool found = TryRead(Key($"revision {revision}"), out ObjectId id, out _, out long seconds);
        commit = new MegaCommit(id, seconds);
        return found;
    }

    public Errno AddRevision(string revision, MegaCommit commit) => Write(Key($"revision {revision}"), commit.Id, ViewFlags.None, commit.Seconds);

    public ObjectId Key(string question) => GitHash.OfKey($"{server}\n{question}");

    private bool TryRead(in ObjectId key, out ObjectId id, out ViewFlags flags, out long seconds)
    {
        id = default;
        flags = default;
        seconds = 0;
        if (store.ReadAll(key, ObjectKind.View, RecordBytes, out NativeBody? body) != Errno.None)
        {
            return false;
        }

        using (body)
        {
            ReadOnlySpan<byte> record = body!.Span;
            if (record.Length != RecordBytes || record[0] != Version)
            {
                return false;
            }

            flags = (ViewFlags)record[1];
            id = new ObjectId(record.Slice(4, ObjectId.Bytes));
            seconds = BinaryPrimitives.ReadInt64LittleEndian(record[24..]);
            return !id.IsNone;
        }
    }

    private Errno Write(in ObjectId key, in ObjectId id, ViewFlags flags, long seconds)
    {
        Span<byte> record = stackalloc byte[RecordBytes];
        record.Clear();
        record[0] = Version;
        record[1] = (byte)flags;
        id.CopyTo(record[4..]);
        BinaryPrimitives.WriteInt64LittleEndian(record[24..], seconds);
        return store.Add(key, ObjectKind.View, record);
    }
}
