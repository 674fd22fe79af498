using System.Text;

namespace Antares.Aot.Fuse;

/// <summary>The mount options that libfuse is given.</summary>
internal static class MountArguments
{
    /// <summary>argv for fuse_session_new: a program name and one <c>-o</c> list.</summary>
    /// <param name="options">What the user asked for.</param>
    /// <param name="readOnly">MS_RDONLY.</param>
    /// <param name="root">We may mount without nosuid and nodev; fusermount3 would refuse.</param>
    public static string[] Make(FuseOptions options, bool readOnly, bool root)
    {
        List<string> list =
        [
            $"fsname={Escape(options.FsName)}",
            "subtype=antares-aot",

            // Nothing else checks access: the overlay asks nobody.
            "default_permissions",
        ];
        if (options.AllowOther)
        {
            list.Add("allow_other");
        }

        if (readOnly)
        {
            list.Add("ro");
        }

        if (root)
        {
            list.Add("suid");
            list.Add("dev");
        }

        // Last, so that nosuid and the like win.
        foreach (string extra in options.ExtraMountOptions)
        {
            list.Add(extra);
        }

        return ["antares-aot", "-o", string.Join(',', list)];
    }

    /// <summary>libfuse splits options at commas; a backslash keeps the next character.</summary>
    internal static string Escape(string value)
    {
        var escaped = new StringBuilder(value.Length);
        foreach (char letter in value)
        {
            if (letter is ',' or '\\')
            {
                _ = escaped.Append('\\'); // the builder itself
            }

            _ = escaped.Append(letter); // the builder itself
        }

        return escaped.ToString();
    }
}
