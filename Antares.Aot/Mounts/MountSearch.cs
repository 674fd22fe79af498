using Antares.Aot.Fuse;

namespace Antares.Aot.Mounts;

/// <summary>Looks for the device of a file system in mountinfo (proc_pid_mountinfo(5)), which comes in pieces.</summary>
/// <param name="device">The device.</param>
internal struct MountSearch(DeviceNumber device)
{
    private const int DeviceField = 2;

    private uint _major;
    private uint _minor;
    private int _field;
    private bool _isMinor;

    /// <summary>The next piece.</summary>
    /// <returns>True: a line with the device was in what came until now.</returns>
    public bool Add(ReadOnlySpan<byte> piece)
    {
        foreach (var value in piece)
        {
            if (value is (byte)' ' or (byte)'\n')
            {
                if (_field == DeviceField && _isMinor && _major == device.Major && _minor == device.Minor)
                {
                    return true;
                }

                _field = value == '\n' ? 0 : _field + 1;
                (_major, _minor, _isMinor) = (0, 0, false);
            }
            else if (_field == DeviceField)
            {
                if (value == ':')
                {
                    _isMinor = true;
                }
                else
                {
                    ref var number = ref (_isMinor ? ref _minor : ref _major);
                    number = unchecked((number * 10) + value - '0'); // the kernel writes digits only
                }
            }
        }

        return false;
    }
}
