using System.Diagnostics;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A real folder under /tmp, and trees over it. Removed at the end, whatever is in it.</summary>
internal sealed unsafe class DicfuseFolder : IDisposable
{
    public DicfuseFolder()
    {
        Path = Directory.CreateTempSubdirectory("antares-dicfuse-").FullName;
        Fd = OpenRoot();
    }

    public string Path { get; }

    /// <summary>O_PATH descriptor of the folder.</summary>
    public int Fd { get; }

    public string At(string relative) => System.IO.Path.Combine(Path, relative);

    public byte[] Write(string relative, int bytes, int seed = 1)
    {
        byte[] content = Bytes(bytes, seed);
        File.WriteAllBytes(At(relative), content);
        return content;
    }

    /// <summary>Half random, half runs: shrinks, but not to nothing.</summary>
    public static byte[] Bytes(int count, int seed)
    {
        byte[] content = new byte[count];
        Random random = new(seed);
        random.NextBytes(content);
        for (int at = 0; at < count; at += 512)
        {
            content.AsSpan(at, Math.Min(256, count - at)).Fill((byte)seed);
        }

        return content;
    }

    public DicfuseLayer Open(DicfuseOptions? options = null)
    {
        Check(DicfuseLayer.OpenFolder("dicfuse", OpenRoot(), options ?? new DicfuseOptions(), out DicfuseLayer? layer));
        return layer!;
    }

    /// <summary>A layer whose source is wrapped, to watch it or to make it lie.</summary>
    public DicfuseLayer Open(Func<ITreeSource, NodeStore, ITreeSource> wrap, ulong numberMask = StInoSet.DefaultMask)
    {
        Check(NodeStore.Create(TreeArena.DefaultReservation, NameHeap.DefaultReservation, out NodeStore? store));
        Check(Interop.Fd.Open((byte*)Text(Path), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        ITreeSource source = wrap(new FolderSource("dicfuse", fd, store!, 8), store!);
        return new DicfuseLayer("dicfuse", new DicfuseTree("dicfuse", store!, source, numberMask), new DicfuseOptions());
    }

    public int OpenRoot()
    {
        Check(Interop.Fd.Open((byte*)Text(Path), Fcntl.O_PATH | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        return fd;
    }

    /// <summary>A NUL-terminated copy that lives as long as the test process.</summary>
    public static nint Text(string text) => Marshal.StringToCoTaskMemUTF8(text);

    public static void Check(Errno error)
    {
        if (error != Errno.None)
        {
            Assert.Fail($"{error} ({Diagnostics.Failure.Layer}: {Diagnostics.Failure.Call})");
        }
    }

    public void Dispose()
    {
        Interop.Fd.Close(Fd);
        // rm walks by descriptors: .NET's own removal fails on paths beyond PATH_MAX.
        using System.Diagnostics.Process? rm = System.Diagnostics.Process.Start(new ProcessStartInfo("rm", ["-rf", Path]));
        rm!.WaitForExit();
    }
}

/// <summary>Short forms of what tests ask a layer.</summary>
internal static unsafe class DicfuseAsk
{
    public static Errno TryFind(this ILayer layer, uint directory, ReadOnlySpan<byte> name, out uint node)
    {
        byte[] terminated = [.. name, 0];
        fixed (byte* pointer = terminated)
        {
            return layer.Find(directory, new ByteName(pointer, name.Length), out node);
        }
    }

    public static uint Find(this ILayer layer, string path)
    {
        uint node = ILayer.RootNode;
        foreach (string name in path.Split('/'))
        {
            DicfuseFolder.Check(layer.TryFind(node, System.Text.Encoding.UTF8.GetBytes(name), out node));
        }

        return node;
    }

    public static stat Getattr(this ILayer layer, uint node, bool mapping = true)
    {
        stat attributes;
        DicfuseFolder.Check(layer.GetattrWithMapping(node, mapping, &attributes));
        return attributes;
    }

    public static List<(byte[] Name, LayerEntry Entry)> List(this ILayer layer, uint directory)
    {
        List<(byte[], LayerEntry)> all = [];
        ulong cookie = 0;
        Errno error;
        while ((error = layer.Next(directory, cookie, out LayerEntry entry)) == Errno.None)
        {
            // Plain checks: this runs a hundred thousand times in some tests.
            if (entry.Cookie <= cookie || entry.Name.Pointer[entry.Name.Length] != 0 || entry.Type == FileType.Unknown)
            {
                Assert.Fail($"bad entry at cookie {cookie}");
            }

            all.Add((entry.Name.Span.ToArray(), entry));
            cookie = entry.Cookie;
        }

        Assert.Equal(Errno.ENOENT, error);
        return all;
    }

    public static Errno TryRead(this ILayer layer, uint node, ulong offset, byte[] buffer, out uint got)
    {
        fixed (byte* pointer = buffer)
        {
            return layer.Read(node, offset, pointer, (uint)buffer.Length, out got);
        }
    }

    /// <summary>Reads one piece, which must succeed.</summary>
    public static byte[] Read(this ILayer layer, uint node, ulong offset, int size)
    {
        byte[] buffer = new byte[size];
        DicfuseFolder.Check(layer.TryRead(node, offset, buffer, out uint got));
        return buffer[..(int)got];
    }

    public static string Readlink(this ILayer layer, uint node)
    {
        byte* buffer = stackalloc byte[4096];
        DicfuseFolder.Check(layer.Readlink(node, buffer, 4096, out int length));
        return System.Text.Encoding.UTF8.GetString(buffer, length);
    }

    public static List<string> Names(this ILayer layer, uint node)
    {
        List<string> names = [];
        uint cursor = 0;
        while (layer.NextName(node, ref cursor, out uint directory, out ByteName name))
        {
            names.Add($"{directory}/{System.Text.Encoding.UTF8.GetString(name.Span)}");
        }

        names.Sort(StringComparer.Ordinal);
        return names;
    }

    /// <summary>What lstat says about the source's file.</summary>
    public static stat Lstat(string path)
    {
        stat attributes;
        DicfuseFolder.Check(
            Attributes.Fstatat(Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(path), &attributes, Fcntl.AT_SYMLINK_NOFOLLOW));
        return attributes;
    }

    public static void SetMtime(string path, long seconds, long nanoseconds)
    {
        timespec* times = stackalloc timespec[2];
        times[0] = new timespec { tv_sec = seconds, tv_nsec = nanoseconds };
        times[1] = times[0];
        DicfuseFolder.Check(
            Attributes.Utimensat(Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(path), times, Fcntl.AT_SYMLINK_NOFOLLOW));
    }
}

/// <summary>A test that makes devices or foreign owners.</summary>
internal sealed class DicfuseRootFactAttribute : FactAttribute
{
    public DicfuseRootFactAttribute()
    {
        if (Interop.Process.Geteuid() != 0)
        {
            Skip = "needs root: makes device files or changes owners";
        }
    }
}

/// <summary>As <see cref="DicfuseRootFactAttribute"/>, for several cases.</summary>
internal sealed class DicfuseRootTheoryAttribute : TheoryAttribute
{
    public DicfuseRootTheoryAttribute()
    {
        if (Interop.Process.Geteuid() != 0)
        {
            Skip = "needs root: makes device files or changes owners";
        }
    }
}

/// <summary>A test that mounts something inside its folder.</summary>
internal sealed class DicfuseMountFactAttribute : FactAttribute
{
    private const int SysAdmin = 21;

    public DicfuseMountFactAttribute()
    {
        if (!Interop.Process.HasCapability(SysAdmin))
        {
            Skip = "needs CAP_SYS_ADMIN: mounts a tmpfs inside the folder";
        }
    }
}
