namespace Antares.Aot.Base;

/// <summary>The two parts of a device number, as glibc's gnu_dev_major and gnu_dev_minor have them.</summary>
public static class DeviceNumbers
{
    public static uint Major(ulong device) => (uint)(((device >> 8) & 0xFFF) | ((device >> 32) & 0xFFFF_F000));

    public static uint Minor(ulong device) => (uint)((device & 0xFF) | ((device >> 12) & 0xFFFF_FF00));

    public static ulong Make(uint major, uint minor) =>
        ((major & 0xFFFUL) << 8) | ((major & 0xFFFF_F000UL) << 32) | (minor & 0xFFUL) | ((minor & 0xFFFF_FF00UL) << 12);
}
