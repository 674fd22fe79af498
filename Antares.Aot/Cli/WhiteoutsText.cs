using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>The forms of whiteouts that layers may have, as users write them.</summary>
internal static class WhiteoutsText
{
    /// <returns>True when files named .wh.NAME are whiteouts too.</returns>
    /// <exception cref="MountProblem">Usage: neither overlay nor aufs.</exception>
    public static bool Parse(string option, string text) => text switch
    {
        "overlay" => false,
        "aufs" => true,
        _ => throw MountProblem.Usage($"{option} '{text}': give overlay (kernel overlayfs' own) or aufs (files named .wh.NAME as well, as in the layers of container images)"),
    };
}
