using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>Git's name for content: SHA-1 over "TYPE LENGTH", a NUL, and the content. The length has to be known first.</summary>
internal sealed class GitHash : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);

    /// <param name="kind">Blob or tree.</param>
    /// <param name="length">Bytes of the content.</param>
    public GitHash(ObjectKind kind, long length)
    {
        string type = kind == ObjectKind.Tree ? "tree" : "blob";
        _hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{type} {length}\0")));
    }

    public void Append(ReadOnlySpan<byte> content) => _hash.AppendData(content);

    /// <summary>The id; the hash is used up.</summary>
    public ObjectId Finish()
    {
        Span<byte> bytes = stackalloc byte[ObjectId.Bytes];
        _ = _hash.GetHashAndReset(bytes); // its length is known
        return new ObjectId(bytes);
    }

    /// <summary>The id of content that is all here.</summary>
    public static ObjectId Of(ObjectKind kind, ReadOnlySpan<byte> content)
    {
        using var hash = new GitHash(kind, content.Length);
        hash.Append(content);
        return hash.Finish();
    }

    /// <summary>An id for a text that is no git object: a key of <see cref="ObjectKind.View"/>.</summary>
    public static ObjectId OfKey(string key)
    {
        Span<byte> bytes = stackalloc byte[ObjectId.Bytes];
        _ = SHA1.HashData(Encoding.UTF8.GetBytes(key), bytes); // its length is known
        return new ObjectId(bytes);
    }

    public void Dispose() => _hash.Dispose();
}
