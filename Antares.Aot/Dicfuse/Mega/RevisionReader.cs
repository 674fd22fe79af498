using System.Text;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>Names in bytes as keys of dictionaries: one character for each byte, whatever they mean.</summary>
internal static class NameKey
{
    public static string Of(ReadOnlySpan<byte> name) => Encoding.Latin1.GetString(name);

    public static string Of(string name) => Of(Encoding.UTF8.GetBytes(name));

    /// <summary>The name, without a NUL.</summary>
    public static byte[] Bytes(string key) => Encoding.Latin1.GetBytes(key);

    /// <summary>The name as text; of one that is no UTF-8 an image of it.</summary>
    public static string Text(string key) => Encoding.UTF8.GetString(Bytes(key));
}

/// <summary>Reads directories of a revision that need not be the one that is shown, for those who prepare something.</summary>
internal sealed class RevisionReader(MegaSource source, MegaRevision revision)
{
    private const int Tries = 3;
    private const long MostTreeBytes = 1 << 30;

    private readonly MegaSource _source = source;

    /// <summary>The revision that is read.</summary>
    public MegaRevision Revision { get; } = revision;

    /// <summary>Reads the mounted directory.</summary>
    /// <inheritdoc cref="Read"/>
    public Task<Dictionary<string, GitContent>> ReadRoot(CancellationToken stop) => ReadTree("", Revision.Root.Tree, Revision.Root, stop);

    /// <summary>Reads a directory.</summary>
    /// <param name="path">Relative to the mounted one.</param>
    /// <param name="content">What its parent says of it.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>By <see cref="NameKey"/>.</returns>
    /// <exception cref="MegaProblem">It cannot be had.</exception>
    public Task<Dictionary<string, GitContent>> Read(string path, GitContent content, CancellationToken stop) =>
        content.Mode != GitMode.Directory || content.Id == MegaTrees.EmptyTree
            ? Task.FromResult<Dictionary<string, GitContent>>([]) // of a submodule nothing is here
            : ReadTree(path, content.Id, null, stop);

    private async Task<Dictionary<string, GitContent>> ReadTree(string path, ObjectId expected, MegaView? known, CancellationToken stop)
    {
        string mounted = _source.Options.Address.Path;
        string whole = path.Length == 0 ? mounted : ClPlacement.Join(mounted, path);
        try
        {
            for (int i = 0; i < Tries; i++)
            {
                MegaView view = known is { } told && i == 0 ? told
                    : Revision.Trees.TryLocal(whole, expected, out MegaView here) ? here
                    : await Revision.Trees.Fetch(whole, expected, stop).ConfigureAwait(false);
                Errno error = _source.Store.ReadAll(view.Tree, ObjectKind.Tree, MostTreeBytes, out NativeBody? raw);
                if (error == Errno.None)
                {
                    using (raw)
                    {
                        return Parse(raw!.Span);
                    }
                }

                if (error != Errno.ENOENT)
                {
                    throw new MegaProblem(error, $"cannot be read from the store ({error})");
                }
            }

            throw MegaProblem.Damaged("the store gives objects up as fast as they come; raise --store-limit");
        }
        catch (MegaProblem problem)
        {
            throw new MegaProblem(problem.Error, $"/{Changelist.Shown(path)} cannot be listed: {problem.Message}");
        }
    }

    private static Dictionary<string, GitContent> Parse(ReadOnlySpan<byte> raw)
    {
        var all = new Dictionary<string, GitContent>(StringComparer.Ordinal);
        var entries = new GitTreeReader(raw);
        while (entries.MoveNext())
        {
            if (!all.TryAdd(NameKey.Of(entries.Name), new GitContent(entries.Mode, entries.Id)))
            {
                throw MegaProblem.Damaged("a raw tree has a name twice");
            }
        }

        return entries.Damage is { } damage ? throw MegaProblem.Damaged(damage) : all;
    }
}
