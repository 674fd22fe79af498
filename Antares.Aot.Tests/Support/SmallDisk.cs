namespace Antares.Aot.Tests.Support;

/// <summary>A file system of a few MiB, to be filled up: tmpfs, or ext4 on a loop device.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string _image;

    public SmallDisk(ScratchFolder scratch, string type, int mebibytes)
    {
        Path = scratch.Make($"disk-{type}");
        _image = scratch.Join($"{type}.img");
        _ = type == "tmpfs"
            ? Shell.Run("mount", ["-t", "tmpfs", "-o", $"size={mebibytes}m", "none", Path]).Must()
            : Shell.Bash("truncate -s \"$M\"M \"$I\" && mkfs.ext4 -q -m 0 \"$I\" && mount -o loop \"$I\" \"$P\"", environment: [("M", $"{mebibytes}"), ("I", _image), ("P", Path)]).Must();
    }

    private SmallDisk(ScratchFolder scratch, string image, string name)
    {
        Path = scratch.Make(name);
        _image = scratch.Join($"{name}.img");
        _ = Shell.Bash("cp --sparse=always \"$O\" \"$I\" && mount -o loop \"$I\" \"$P\"", environment: [("O", image), ("I", _image), ("P", Path)]).Must();
    }

    public string Path { get; }

    /// <summary>Mounts a copy of what the disk holds at this moment, as after a power cut: what only the kernel's memory has is not in it.</summary>
    public SmallDisk AfterAPowerCut(ScratchFolder scratch, string name) => new(scratch, _image, name);

    public void Remount(string options) => _ = Shell.Run("mount", ["-o", $"remount,{options}", Path]).Must();

    public void Dispose()
    {
        foreach (MountTable.Entry entry in MountTable.Below(Path).AsEnumerable().Reverse())
            MountTable.Tear(entry);
        File.Delete(_image);
    }
}

/// <summary>Makes system calls of a running process fail, by way of strace.</summary>
internal sealed class Fault : IDisposable
{
    private readonly System.Diagnostics.Process _strace;

    /// <param name="pid">The process.</param>
    /// <param name="call">System calls, comma separated.</param>
    /// <param name="errno">What they answer.</param>
    public Fault(int pid, string call, string errno)
    {
        _strace = Shell.Start("strace", ["-f", "-p", pid.ToString(), "-o", "/dev/null", "-e", $"trace={call}", "-e", $"inject={call}:error={errno}"]);
        // It tells each thread that it holds; the last one is the one that counts.
        int threads = Directory.GetDirectories($"/proc/{pid}/task").Length;
        for (int i = 0; i < threads; i++)
        {
            string? line = _strace.StandardError.ReadLine();
            Assert.True(line != null && line.Contains("attached", StringComparison.Ordinal), $"strace: {line}");
            if (line.Contains($"with {threads} threads", StringComparison.Ordinal))
                break;
        }
    }

    public void Dispose()
    {
        _ = Shell.Run("kill", ["-INT", _strace.Id.ToString()]);
        if (!_strace.WaitForExit(20_000))
            _strace.Kill();
        _strace.Dispose();
    }
}
