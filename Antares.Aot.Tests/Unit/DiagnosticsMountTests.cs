using System.Buffers;
using System.Text.Json;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Antares.Interop.Fuse3;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Tests.Unit;

public sealed class DiagnosticsMountTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"antares-log-{Guid.NewGuid():n}");

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void StatsHaveOneKeyPerOperationCountedOrNot()
    {
        var diagnostics = new MountDiagnostics();
        diagnostics.Counters.Record((uint)fuse_opcode.FUSE_LOOKUP, Errno.ENOENT, 1);
        diagnostics.Counters.Record((uint)fuse_opcode.FUSE_LOOKUP, Errno.None, 1);
        diagnostics.AddGauge("nodes", () => 7);
        diagnostics.AddGauge("nodes", () => 8);
        using JsonDocument json = Parse(diagnostics.WriteStatsJson);
        JsonElement ops = json.RootElement.GetProperty("ops");
        foreach (fuse_opcode opcode in Enum.GetValues<fuse_opcode>())
        {
            if (opcode != fuse_opcode.None)
            {
                JsonElement op = ops.GetProperty(opcode.ToString()["FUSE_".Length..].ToLowerInvariant());
                Assert.Equal(opcode == fuse_opcode.FUSE_LOOKUP ? 2 : 0, op.GetProperty("count").GetInt64());
                JsonElement latency = op.GetProperty("latency_us");
                Assert.True(latency.GetProperty("p50").GetInt64() <= latency.GetProperty("p99").GetInt64());
                Assert.True(latency.TryGetProperty("max", out _));
            }
        }

        Assert.Equal(1, ops.GetProperty("lookup").GetProperty("errors").GetProperty("ENOENT").GetInt64());
        Assert.Equal(8, json.RootElement.GetProperty("gauges").GetProperty("nodes").GetInt64());
    }

    [Fact]
    public void ErrorsTellOpPathLayerAndErrno()
    {
        var diagnostics = new MountDiagnostics();
        diagnostics.Failures.Add((int)fuse_opcode.FUSE_WRITE, Errno.ENOSPC, 5, "/a\n\u00e4\xff"u8, "upper", "pwrite");
        diagnostics.Failures.Add((int)fuse_opcode.FUSE_LOOKUP, Errno.EIO, 6, default, null, null);
        diagnostics.NoteMissing((uint)fuse_opcode.FUSE_BMAP);
        using JsonDocument json = Parse(diagnostics.WriteErrorsJson);
        JsonElement errors = json.RootElement.GetProperty("errors");
        Assert.Equal(2, errors.GetArrayLength());
        Assert.Equal("write", errors[0].GetProperty("op").GetString());
        Assert.Equal("ENOSPC", errors[0].GetProperty("errno").GetString());
        Assert.Equal("upper", errors[0].GetProperty("layer").GetString());
        Assert.Equal("pwrite", errors[0].GetProperty("call").GetString());
        Assert.DoesNotContain('\n', errors[0].GetProperty("path").GetString()!);
        Assert.Equal(JsonValueKind.Null, errors[1].GetProperty("layer").ValueKind);
        Assert.Equal(DateTimeKind.Utc, errors[0].GetProperty("time").GetDateTime().Kind);
        Assert.Equal(1, json.RootElement.GetProperty("not_implemented").GetProperty("bmap").GetInt32());
        Assert.Equal(2, json.RootElement.GetProperty("total").GetInt64());
    }

    [Fact]
    public void TextSaysTheSame()
    {
        var diagnostics = new MountDiagnostics();
        using var empty = new StringWriter();
        diagnostics.WriteErrorsText(empty);
        Assert.Contains("no failed request", empty.ToString(), StringComparison.Ordinal);

        diagnostics.Counters.Record((uint)fuse_opcode.FUSE_WRITE, Errno.ENOSPC, 1);
        diagnostics.Failures.Add((int)fuse_opcode.FUSE_WRITE, Errno.ENOSPC, 5, "/a/b"u8, "upper", "pwrite");
        diagnostics.AddGauge("nodes", () => 7);
        using var text = new StringWriter();
        diagnostics.WriteStatsText(text);
        diagnostics.WriteErrorsText(text);
        string all = text.ToString();
        Assert.Contains("ENOSPC=1", all, StringComparison.Ordinal);
        Assert.Contains("/a/b", all, StringComparison.Ordinal);
        Assert.Contains("nodes", all, StringComparison.Ordinal);
        Assert.DoesNotContain("readlink", all, StringComparison.Ordinal);
    }

    [Fact]
    public void TroubleIsWhatACommandCannotHelp()
    {
        var diagnostics = new MountDiagnostics();
        Fail(fuse_opcode.FUSE_LOOKUP, Errno.ENOENT, "/no");
        Fail(fuse_opcode.FUSE_RMDIR, Errno.ENOTEMPTY, "/full");
        Assert.Null(diagnostics.Trouble());
        Fail(fuse_opcode.FUSE_WRITE, Errno.ENOSPC, "/a");
        Fail(fuse_opcode.FUSE_CREATE, Errno.ENOSPC, "/b");
        Fail(fuse_opcode.FUSE_READ, Errno.EIO, "/c");
        Assert.Equal("the mount itself failed requests: ENOSPC 2 times, EIO once; first write of /a with ENOSPC (upper, pwrite)", diagnostics.Trouble());

        void Fail(fuse_opcode opcode, Errno error, string path)
        {
            diagnostics.Counters.Record((uint)opcode, error, 1);
            diagnostics.Failures.Add((int)opcode, error, 1, System.Text.Encoding.UTF8.GetBytes(path), "upper", "pwrite");
        }
    }

    /// <summary>The file gets what the user is told too, whatever the level.</summary>
    [Fact]
    public void WhatTheUserIsToldIsInTheFile()
    {
        Assert.Equal(Errno.None, Log.Open(LogLevel.Error, toStandardError: false, _file, out Log? log));
        using (log)
        {
            log!.Info("not this");
            log.Tell("kept there");
        }

        Assert.EndsWith("info  kept there", Assert.Single(File.ReadAllLines(_file)), StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingOperationIsLoggedOnce()
    {
        Assert.Equal(Errno.None, Log.Open(LogLevel.Warn, toStandardError: false, _file, out Log? log));
        using (log)
        {
            var diagnostics = new MountDiagnostics(log);
            diagnostics.NoteMissing((uint)fuse_opcode.FUSE_GETLK);
            diagnostics.NoteMissing((uint)fuse_opcode.FUSE_GETLK);
        }

        string line = Assert.Single(File.ReadAllLines(_file));
        Assert.Contains("operation getlk (31) is not implemented", line, StringComparison.Ordinal);
    }

    [Fact]
    public void ALogShowsItsLevelAndThoseBefore()
    {
        Assert.Equal(Errno.None, Log.Open(LogLevel.Info, toStandardError: false, _file, out Log? log));
        using (log)
        {
            log!.Error("one");
            log.Warn("two");
            log.Info(new string('x', 5000));
            log.Debug("three");
            log.Debug($"four {Never()}");
        }

        string[] lines = File.ReadAllLines(_file);
        Assert.Equal(3, lines.Length);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z error one$", lines[0]);
        Assert.EndsWith(" warn  two", lines[1], StringComparison.Ordinal);
        Assert.EndsWith("xxx", lines[2], StringComparison.Ordinal);

        static string Never() => throw new InvalidOperationException("formatted though debug is off");
    }

    [Fact]
    public void ALogThatIsOffIsOff()
    {
        Assert.False(Log.Off.IsEnabled(LogLevel.Error));
        Log.Off.Error("nobody reads this");
    }

    [Theory]
    [InlineData("error", true)]
    [InlineData("debug", true)]
    [InlineData("Debug", false)]
    [InlineData("", false)]
    public void LevelsHaveNames(string text, bool known) => Assert.Equal(known, Log.TryParse(text, out _));

    private static JsonDocument Parse(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            write(json);
        }

        return JsonDocument.Parse(buffer.WrittenMemory);
    }
}
