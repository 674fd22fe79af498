using System.Buffers;
using System.Text.Json;
using Antares.Aot.Fuse;

namespace Antares.Aot.Mounts;

/// <summary>
/// The JSON of the state file and of a record. Written field by field: the serializer's machinery costs a start of a mount more than
/// everything else that it does before the mount (docs/decisions/0003-start.md).
/// </summary>
public static class StateCodec
{
    /// <summary>Raised when a field changes its meaning or a new one must not be overlooked; another version is refused.</summary>
    public const int Version = 1;

    public static byte[] Encode(IReadOnlyList<MountRecord> records)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteNumber("version"u8, Version);
            writer.WriteStartArray("mounts"u8);
            foreach (var record in records)
            {
                writer.WriteStartObject();
                WriteFields(writer, record);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Reads a state file.</summary>
    /// <param name="content">The file.</param>
    /// <param name="version">Its version; of another than ours, no records are read.</param>
    /// <returns>The records.</returns>
    /// <exception cref="JsonException">Not the JSON of a state file.</exception>
    public static List<MountRecord> Decode(ReadOnlySpan<byte> content, out int version)
    {
        var records = new List<MountRecord>();
        version = 0;
        var reader = new Utf8JsonReader(content);
        Expect(ref reader, JsonTokenType.StartObject);
        while (NextField(ref reader, out var name))
        {
            if (name == "version")
            {
                version = ReadInt(ref reader);
                if (version != Version)
                {
                    return records;
                }
            }
            else if (name == "mounts" && version == Version)
            {
                Expect(ref reader, JsonTokenType.StartArray);
                while (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
                {
                    records.Add(ReadRecord(ref reader));
                }
            }
            else
            {
                reader.Skip();
            }
        }

        return version == Version ? records : throw new JsonException("no version");
    }

    /// <summary>Writes the fields of a record into an object that the caller has started.</summary>
    public static void WriteFields(Utf8JsonWriter writer, MountRecord record)
    {
        writer.WriteString("id"u8, record.Id);
        WriteOptional(writer, "job"u8, record.Job);
        writer.WriteNumber("pid"u8, record.Process.Pid);
        writer.WriteNumber("start_ticks"u8, record.Process.StartTicks);
        writer.WriteString("engine"u8, record.Engine);
        writer.WriteString("mount_point"u8, record.MountPoint);
        WriteOptional(writer, "device"u8, record.Device?.ToString());
        writer.WriteStartArray("lowers"u8);
        foreach (var lower in record.Lowers)
        {
            writer.WriteStringValue(lower);
        }

        writer.WriteEndArray();
        WriteOptional(writer, "cl"u8, record.Changelist);
        WriteOptional(writer, "upper"u8, record.Upper);
        WriteOptional(writer, "work"u8, record.Work);
        WriteOptional(writer, "workspace"u8, record.Workspace);
        writer.WriteBoolean("keep"u8, record.Keep);
        writer.WriteString("socket"u8, record.Socket);
        writer.WriteString("created"u8, record.Created);
    }

    private static void WriteOptional(Utf8JsonWriter writer, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
        {
            writer.WriteString(name, value);
        }
    }

    private static MountRecord ReadRecord(ref Utf8JsonReader reader)
    {
        string? id = null, job = null, mountPoint = null, upper = null, work = null, workspace = null, socket = null, created = null, engine = null, changelist = null;
        var pid = 0;
        DeviceNumber? device = null;
        var startTicks = 0L;
        var keep = false;
        var lowers = new List<string>();
        while (NextField(ref reader, out var name))
        {
            switch (name)
            {
                case "id": id = ReadString(ref reader); break;
                case "job": job = ReadString(ref reader); break;
                case "pid": pid = ReadInt(ref reader); break;
                case "start_ticks": startTicks = ReadLong(ref reader); break;
                case "engine": engine = ReadString(ref reader); break;
                case "mount_point": mountPoint = ReadString(ref reader); break;
                case "device":
                    device = DeviceNumber.TryParse(ReadString(ref reader), out var number) ? number : throw new JsonException("no device number");
                    break;
                case "cl": changelist = ReadString(ref reader); break;
                case "upper": upper = ReadString(ref reader); break;
                case "work": work = ReadString(ref reader); break;
                case "workspace": workspace = ReadString(ref reader); break;
                case "socket": socket = ReadString(ref reader); break;
                case "created": created = ReadString(ref reader); break;
                case "keep":
                    keep = reader.Read() && reader.TokenType == JsonTokenType.True;
                    break;
                case "lowers":
                    Expect(ref reader, JsonTokenType.StartArray);
                    while (reader.Read() && reader.TokenType == JsonTokenType.String)
                    {
                        lowers.Add(reader.GetString() ?? "");
                    }

                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return new MountRecord
        {
            Id = id ?? throw new JsonException("a record without id"),
            Job = job,
            Process = new ProcessIdentity(pid, startTicks),
            Engine = engine ?? "fuse",
            MountPoint = mountPoint ?? throw new JsonException("a record without mount point"),
            Device = device,
            Lowers = lowers,
            Changelist = changelist,
            Upper = upper,
            Work = work,
            Workspace = workspace,
            Keep = keep,
            Socket = socket ?? "",
            Created = created ?? "",
        };
    }

    /// <summary>Goes to the next field of the object; false at its end.</summary>
    private static bool NextField(ref Utf8JsonReader reader, out string? name)
    {
        name = null;
        if (!reader.Read())
        {
            throw new JsonException("cut off");
        }

        if (reader.TokenType == JsonTokenType.EndObject)
        {
            return false;
        }

        name = reader.TokenType == JsonTokenType.PropertyName ? reader.GetString() : throw new JsonException("no field");
        return true;
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type)
    {
        if (!reader.Read() || reader.TokenType != type)
        {
            throw new JsonException($"no {type}");
        }
    }

    private static string ReadString(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.String);
        return reader.GetString() ?? "";
    }

    private static long ReadLong(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.Number);
        return reader.TryGetInt64(out var value) ? value : throw new JsonException("no whole number");
    }

    private static int ReadInt(ref Utf8JsonReader reader) =>
        ReadLong(ref reader) is var value and >= int.MinValue and <= int.MaxValue ? (int)value : throw new JsonException("too large");
}
