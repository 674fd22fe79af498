using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>Visits everything below a directory of an image: each directory before what is in it, names in their order. Cold path.</summary>
internal sealed unsafe class ImageWalk
{
    private readonly ImageTree _tree;
    private readonly Stack<Level> _levels = new();
    private readonly List<byte> _path = [];
    private readonly byte[] _name = GC.AllocateUninitializedArray<byte>(ByteName.MaxLength + 1, pinned: true);

    /// <param name="tree">The image's tree.</param>
    /// <param name="directory">Where to begin; not visited itself.</param>
    /// <exception cref="ImageException">It is no directory, or damaged.</exception>
    public ImageWalk(ImageTree tree, uint directory)
    {
        _tree = tree;
        Enter(directory);
    }

    /// <summary>Index of the node at hand; its record says whether it is a further name of a hard link.</summary>
    public uint Node { get; private set; }

    public ImageNode Record { get; private set; }

    /// <summary>Name of the node: a copy, valid until the next step.</summary>
    public ByteName Name { get; private set; }

    /// <summary>Directories between the start and the node: 0 for a child of the start.</summary>
    public int Depth { get; private set; }

    /// <summary>Path from the start, without a slash at its beginning. Valid until the next step.</summary>
    public ReadOnlySpan<byte> Path => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_path);

    /// <summary>The path as text, bytes that are none replaced.</summary>
    public string PrintedPath => Utf8.Print(Path);

    /// <exception cref="ImageException">The image is damaged; names the place.</exception>
    public bool MoveNext()
    {
        if (Node != 0 && ImageTree.TypeOf(Record) == FileType.Directory)
        {
            Enter(Node);
        }

        while (_levels.TryPop(out Level level))
        {
            _path.RemoveRange(level.PathLength, _path.Count - level.PathLength);
            if (level.Next == level.End)
            {
                continue;
            }

            uint node = level.Next;
            _levels.Push(level with { Next = node + 1 });
            Visit(level.Directory, node);
            return true;
        }

        return false;
    }

    /// <summary>The exception for an error of an image member, with the place and the section.</summary>
    public static ImageException Damaged(string path, Errno error) =>
        new(error == Errno.EIO && Failure.Call is { } what ? $"{path}: damaged ({what})" : $"{path}: {error}");

    private void Visit(uint directory, uint node)
    {
        Errno error = _tree.GetChild(directory, node, out ImageNode record);
        ByteName name = default;
        if (error == Errno.None)
        {
            error = _tree.NameOf(record, out name);
            byte* room = (byte*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_name, 0);
            if (error == Errno.None && !name.TryCopy(room, out name))
            {
                error = ImageFile.Note("names: not a name"); // written over since it was checked
            }
        }

        if (error != Errno.None)
        {
            throw Damaged($"{PrintedPath}/?", error);
        }

        if (_path.Count > 0)
        {
            _path.Add((byte)'/');
        }

        _path.AddRange(name.Span);
        Node = node;
        Record = record;
        Name = name;
        Depth = _levels.Count - 1;
    }

    private void Enter(uint directory)
    {
        Errno error = _tree.Directory(directory, out ImageNode record);
        if (error != Errno.None)
        {
            throw Damaged(PrintedPath, error);
        }

        _levels.Push(new Level(directory, record.Body, record.Body + record.Extra, _path.Count));
    }

    private readonly record struct Level(uint Directory, uint Next, uint End, int PathLength);
}
