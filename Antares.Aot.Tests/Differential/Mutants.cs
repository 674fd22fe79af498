namespace Antares.Aot.Tests.Differential;

/// <summary>One place of the sources that a mutant changes.</summary>
/// <param name="File">Path from the root of the repository.</param>
/// <param name="Text">What stands there, exactly once.</param>
/// <param name="Mutated">What the mutant makes of it; <c>MUTANT</c> stands for "this mutant is switched on".</param>
internal sealed record Edit(string File, string Text, string Mutated);

/// <summary>A mistake that the tests must find.</summary>
internal sealed record Mutant(string Name, params Edit[] Edits);

/// <summary>
/// Mistakes that an overlay can make, as changes of our sources. They are built into one executable in a scratch folder, never into the
/// product, and switched on one at a time by ANTARES_MUTANT.
/// </summary>
internal static class Mutants
{
    private const string Overlay = "Antares.Aot/Overlay/";
    private const string Layers = "Antares.Aot/Layers/";

    public static readonly Mutant[] All =
    [
        new("whiteout-forgotten",
            new Edit(Layers + "UpperRemoval.cs",
                "        error = _writer.Work.PlaceWhiteout(at.Fd, name, replace: false);",
                "        error = MUTANT ? Errno.None : _writer.Work.PlaceWhiteout(at.Fd, name, replace: false);")),
        new("whiteout-forgotten-over-a-copy",
            new Edit(Overlay + "Ops/RemoveOps.cs",
                ": _tree.Upper.Unlink(directory.Upper, name, shown, keep);",
                ": _tree.Upper.Unlink(directory.Upper, name, shown && !MUTANT, keep);")),
        new("rename-leaves-the-old-name",
            new Edit(Overlay + "Ops/RenameOps.cs",
                "_rename!.Move(from.Upper, name, to.Upper, newName, whiteout, keep);",
                "_rename!.Move(from.Upper, name, to.Upper, newName, whiteout && !MUTANT, keep);")),
        new("rename-exchanges-half",
            new Edit(Layers + "UpperRename.cs",
                "PathOps.Renameat2(from.Fd, name.Pointer, to.Fd, newName.Pointer, Fcntl.RENAME_EXCHANGE);",
                "PathOps.Renameat2(from.Fd, name.Pointer, to.Fd, newName.Pointer, MUTANT ? 0 : Fcntl.RENAME_EXCHANGE);")),
        new("mtime-lost-on-copy-up",
            new Edit(Overlay + "StagedAttributes.cs",
                "            times[1] = attributes.st_mtim;",
                "            times[1] = MUTANT ? new timespec { tv_nsec = StatMode.UTIME_NOW } : attributes.st_mtim;")),
        new("parent-times-not-restored",
            new Edit(Layers + "UpperWriter.cs",
                "        times[1] = before.st_mtim;",
                "        times[1] = MUTANT ? new timespec { tv_nsec = StatMode.UTIME_OMIT } : before.st_mtim;")),
        new("truncation-at-open-lost",
            new Edit(Overlay + "Ops/AttributeOps.cs",
                ": Truncate(node, (long)request.Size, fields);",
                ": MUTANT && request.Size == 0 ? Errno.None : Truncate(node, (long)request.Size, fields);"),
            new Edit(Overlay + "Ops/AttributeOps.cs",
                "truncates ? request.Size : CopyUp.Whole",
                "truncates && !MUTANT ? request.Size : CopyUp.Whole")),
        new("stale-data-after-copy-up",
            new Edit(Overlay + "Ops/DataOps.cs",
                "        error = FileIo.ReadFull(lease.Fd, buffer, size, (long)offset, out nuint read);",
                "        if (MUTANT && !target.Lower.IsNone)\n        {\n            _tree.Upper.Access.Cache.Release(lease);\n"
                + "            return _tree.Lowers[target.Lower.Slot].Read(target.Lower.Node, offset, buffer, size, out got);\n        }\n\n"
                + "        error = FileIo.ReadFull(lease.Fd, buffer, size, (long)offset, out nuint read);")),
        new("links-of-a-lower-file-wrong",
            new Edit(Overlay + "MergedAttributes.cs", "                attributes->st_nlink -= removed;", "                attributes->st_nlink -= MUTANT ? 0 : removed;")),
        new("links-of-a-directory-wrong",
            new Edit(Overlay + "MergedAttributes.cs", "            _tree.Records[directory.Record]->Overlap++;", "            _tree.Records[directory.Record]->Overlap += MUTANT ? 0 : 1;")),
        new("cookie-is-a-place-in-the-list",
            new Edit(Layers + "DirectoryTable.cs",
                "    /// <summary>The entry after a cookie, or false at the end. A removed entry is skipped.</summary>",
                "    public bool NextByPlace(uint directory, ulong place, out uint dentry)\n    {\n        dentry = 0;\n        ulong cookie = 0;\n"
                + "        for (ulong seen = 0; seen <= place; seen++)\n        {\n            if (!Next(directory, cookie, out dentry))\n            {\n"
                + "                return false;\n            }\n\n            cookie = Name(dentry)->Cookie;\n        }\n\n        return true;\n    }\n\n"
                + "    /// <summary>The entry after a cookie, or false at the end. A removed entry is skipped.</summary>"),
            new Edit(Layers + "DirectoryLayer.cs",
                "            while (_table.Next(directory, cookie, out uint dentry))",
                "            uint dentry;\n            while (MUTANT ? _table.NextByPlace(directory, cookie, out dentry) : _table.Next(directory, cookie, out dentry))"),
            new Edit(Layers + "DirectoryLayer.cs", "                entry.Cookie = name->Cookie;", "                entry.Cookie = MUTANT ? cookie + 1 : name->Cookie;")),
        new("listed-twice",
            new Edit(Overlay + "MergedListing.cs", "            if (listedBelow)", "            if (listedBelow && !(MUTANT && entry.Type != FileType.Whiteout))")),
        new("opaque-forgotten",
            new Edit(Overlay + "Ops/CreateOps.cs", "what.Opaque = (shown && below == FileType.Directory) || _tree.IsHidden(in directory, name);", "what.Opaque = !MUTANT && ((shown && below == FileType.Directory) || _tree.IsHidden(in directory, name));")),
        new("redirect-forgotten",
            new Edit(Overlay + "Ops/RenameOps.cs", "        return _tree.Upper.Writer.SetRedirect(moved.Upper, path, length);", "        return MUTANT ? Errno.None : _tree.Upper.Writer.SetRedirect(moved.Upper, path, length);")),
        new("xattrs-lost-on-copy-up",
            new Edit(Overlay + "StagedAttributes.cs",
                "            error = CopyXattrs(layer, node, fd, workFd, name);",
                "            error = MUTANT ? Errno.None : CopyXattrs(layer, node, fd, workFd, name);")),
        new("set-id-bits-lost-on-copy-up",
            new Edit(Overlay + "StagedAttributes.cs",
                "? Antares.Interop.Attributes.Fchmod(fd, attributes.st_mode & 0xFFF)",
                "? Antares.Interop.Attributes.Fchmod(fd, attributes.st_mode & (MUTANT ? 0x1FFu : 0xFFFu))")),
        new("st-ino-changed-by-copy-up",
            new Edit(Overlay + "MergedAttributes.cs", "        attributes->st_ino = record->StIno;", "        attributes->st_ino = MUTANT ? attributes->st_ino : record->StIno;")),
        new("st-ino-changed-by-a-new-mount",
            new Edit(Overlay + "StagedAttributes.cs",
                "            error = KeepStIno(fd, workFd, name, attributes.st_ino, marks);",
                "            error = MUTANT ? Errno.None : KeepStIno(fd, workFd, name, attributes.st_ino, marks);")),
        new("hard-link-broken-by-copy-up",
            new Edit(Overlay + "CopyUp.cs", "            if (error == Errno.None && !shown)\n", "            if (error == Errno.None && (!shown || (MUTANT && names > 0)))\n"),
            new Edit(Overlay + "CopyUp.cs", "        record->MissingNames = isGone ||", "        record->MissingNames = MUTANT || isGone ||")),
        new("unlinked-file-loses-its-data",
            new Edit(Overlay + "Ops/RemoveOps.cs",
                "        bool keep = _tree.LookupsOf(in child) > 0;",
                "        bool keep = _tree.LookupsOf(in child) > 0 && !MUTANT;")),
    ];

    /// <summary>
    /// Mistakes that show only after a kill. A name that is missing for a moment is not seen through the mount, since the kernel goes by the
    /// names that it knows; the next mount sees it.
    /// </summary>
    public static readonly Mutant[] FoundByKills =
    [
        new("rename-in-two-steps",
            new Edit(Layers + "UpperRename.cs",
                "            return PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, 0);",
                "            if (MUTANT && replaced > DirectoryTable.WhiteoutNode && !isDirectory)\n            {\n"
                + "                _ = PathOps.Unlinkat(toFd, newName.Pointer, 0);\n                System.Threading.Thread.Sleep(2);\n            }\n\n"
                + "            return PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, 0);")),
    ];

    /// <summary>The class that answers whether a mutant is switched on.</summary>
    public const string Switch =
        """
        namespace Antares.Aot.Base;

        /// <summary>Which mutant is switched on.</summary>
        public static class MutantSwitch
        {
            private static readonly string? s_name = System.Environment.GetEnvironmentVariable("ANTARES_MUTANT");

            public static bool On(string name) => name == s_name;
        }
        """;
}
