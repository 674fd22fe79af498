using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>
/// An ext4 file system of the test's own, held in memory, without access times of reading: trials are fast and syncs cost nothing,
/// whatever else the machine's disks do.
/// </summary>
internal sealed class Disk : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly string _image;

    public Disk()
    {
        _image = Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : _scratch.Path, $"antares-test-{Environment.ProcessId}-{Path.GetFileName(_scratch.Path)}.ext4");
        Folder = _scratch.Make("disk");
        _ = Shell.Bash($"truncate -s 1G '{_image}' && mkfs.ext4 -q -F -m0 -O ^has_journal '{_image}' && mount -o loop,noatime '{_image}' '{Folder}'").Must();
        File.Delete(_image);
    }

    /// <summary>Root of the file system.</summary>
    public string Folder { get; }

    public void Dispose() => _scratch.Dispose();
}
