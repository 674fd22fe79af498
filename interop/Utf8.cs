using System.Runtime.InteropServices;
using System.Text;

namespace Antares.Interop;

/// <summary>A NUL-terminated string of bytes in native memory, for cold paths. Freed once, at Dispose.</summary>
public sealed unsafe class CString : IDisposable
{
    private byte* _pointer;

    /// <summary>UTF-8 of <paramref name="text"/>.</summary>
    /// <exception cref="ArgumentException">The text holds a NUL: C would cut it there and use another name than was checked.</exception>
    public CString(string text)
        : this(Encoding.UTF8.GetBytes(text).AsSpan())
    {
    }

    /// <summary>A copy of <paramref name="bytes"/>, whatever encoding they are in.</summary>
    /// <exception cref="ArgumentException">The bytes hold a NUL.</exception>
    public CString(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Contains((byte)0))
        {
            throw new ArgumentException("A path or name must not contain a NUL character.", nameof(bytes));
        }

        _pointer = (byte*)NativeMemory.Alloc((nuint)bytes.Length + 1);
        bytes.CopyTo(new Span<byte>(_pointer, bytes.Length));
        _pointer[bytes.Length] = 0;
        Length = bytes.Length;
    }

    /// <summary>Bytes without the NUL.</summary>
    public int Length { get; }

    /// <summary>The string; null once disposed.</summary>
    public byte* Pointer => _pointer;

    public ReadOnlySpan<byte> Span => new(_pointer, _pointer == null ? 0 : Length);

    public static implicit operator byte*(CString text) => text._pointer;

    public void Dispose()
    {
        NativeMemory.Free(_pointer);
        _pointer = null;
    }
}

/// <summary>A null-terminated array of strings in native memory, as argv and envp are.</summary>
public sealed unsafe class CStringArray : IDisposable
{
    private readonly CString[] _strings;
    private byte** _pointers;

    public CStringArray(IReadOnlyList<string> strings)
        : this(strings.Select(text => new CString(text)).ToArray())
    {
    }

    private CStringArray(CString[] strings)
    {
        _strings = strings;
        _pointers = (byte**)NativeMemory.AllocZeroed((nuint)strings.Length + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < strings.Length; i++)
        {
            _pointers[i] = strings[i].Pointer;
        }
    }

    /// <summary>Copies of bytes, whatever encoding they are in.</summary>
    public static CStringArray OfBytes(IReadOnlyList<byte[]> strings) => new(strings.Select(bytes => new CString(bytes.AsSpan())).ToArray());

    public int Count => _strings.Length;

    /// <summary>The array; null once disposed.</summary>
    public byte** Pointer => _pointers;

    public void Dispose()
    {
        foreach (CString text in _strings)
        {
            text.Dispose();
        }

        NativeMemory.Free(_pointers);
        _pointers = null;
    }
}

/// <summary>Text from bytes, for messages.</summary>
public static unsafe class Utf8
{
    /// <summary>UTF-8 in native memory; the caller disposes it.</summary>
    public static CString Native(string text) => new(text);

    /// <summary>
    /// Bytes as one line of text: what is not UTF-8, and every control character, becomes U+FFFD, so that a name can neither
    /// break a log line nor write to a terminal. Not to be turned back into bytes.
    /// </summary>
    public static string Print(ReadOnlySpan<byte> bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        return text.AsSpan().ContainsAnyInRange('\0', '\x1F') || text.AsSpan().ContainsAnyInRange('\x7F', '\x9F')
            ? string.Create(text.Length, text, static (target, source) =>
            {
                for (int i = 0; i < target.Length; i++)
                {
                    target[i] = char.IsControl(source[i]) ? '\uFFFD' : source[i];
                }
            })
            : text;
    }

    /// <summary>As above, of a NUL-terminated string; null prints as "(null)".</summary>
    public static string Print(byte* text) =>
        text == null ? "(null)" : Print(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
}
