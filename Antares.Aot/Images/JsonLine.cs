using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Antares.Aot.Images;

/// <summary>One line of JSON.</summary>
internal static class JsonLine
{
    public static string Of(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            write(writer);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }
}
