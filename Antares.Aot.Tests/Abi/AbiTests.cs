using Antares.Aot.Fuse;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Abi;

/// <summary>No layout, constant or prototype of the bindings is believed until the C compiler agrees.</summary>
public sealed class AbiTests(NativeProbe probe) : IClassFixture<NativeProbe>
{
    [Theory]
    [InlineData("size:", 80)]
    [InlineData("offset:", 400)]
    [InlineData("bit:", 9)]
    [InlineData("const:", 500)]
    [InlineData("op:", 44)]
    [InlineData("call:", 75)]
    public void EveryDeclarationIsWhatTheCompilerSays(string kind, int atLeast)
    {
        List<(string Name, string Value)> declared = [.. Declared.Lines().Where(line => line.Name.StartsWith(kind, StringComparison.Ordinal))];
        // A reflection that finds nothing would agree with everything.
        Assert.True(declared.Count >= atLeast, $"only {declared.Count} declarations of kind '{kind}' were found, at least {atLeast} are there");
        Assert.Empty(Differences(declared));
    }

    [Fact]
    public void NothingTheCompilerWasAskedIsUndeclared()
    {
        HashSet<string> declared = [.. Declared.Lines().Select(line => line.Name)];
        List<string> undeclared = [.. probe.Values.Keys.Except(declared)];
        Assert.Empty(undeclared);
    }

    [Fact]
    public void AWrongSizeOffsetAndConstantAreFound()
    {
        List<string> differences = Differences(
        [
            .. Declared.Layout(typeof(WrongStructs.pollfd)),
            ("const:O_CLOEXEC", "524289"),
            ("const:O_NO_SUCH_FLAG", "1"),
        ]);
        Assert.Contains("size:pollfd: declared 12, the compiler says 8", differences);
        Assert.Contains("offset:pollfd.events: declared 8, the compiler says 4", differences);
        Assert.Contains("const:O_CLOEXEC: declared 524289, the compiler says 524288", differences);
        Assert.Contains("const:O_NO_SUCH_FLAG: declared 1, the probe does not ask the compiler", differences);
        Assert.DoesNotContain(differences, d => d.StartsWith("offset:pollfd.fd", StringComparison.Ordinal));
    }

    [Fact]
    public void SizesThatTheProtocolFixes()
    {
        // As the design counts on them, whatever header the compiler was given.
        unsafe
        {
            Assert.Equal(144, sizeof(stat));
            Assert.Equal(64, sizeof(fuse_init_out));
            Assert.Equal(128, sizeof(fuse_entry_out));
            Assert.Equal(16, sizeof(fuse_open_out));
            Assert.Equal(40, sizeof(fuse_in_header));
            Assert.Equal(16, sizeof(fuse_out_header));
            Assert.Equal(16 + 128, sizeof(EntryOut));
            Assert.Equal(16 + 104, sizeof(AttributesOut));
            Assert.Equal(16 + 8, sizeof(WrittenOut));
            Assert.Equal(16 + 8, sizeof(XattrLengthOut));
            Assert.Equal(44 * sizeof(void*), sizeof(fuse_lowlevel_ops));
        }
    }

    private List<string> Differences(IEnumerable<(string Name, string Value)> declared)
    {
        List<string> differences = [];
        foreach ((string name, string value) in declared.Distinct())
        {
            if (!probe.Values.TryGetValue(name, out string? said))
            {
                differences.Add($"{name}: declared {value}, the probe does not ask the compiler");
            }
            else if (said != value)
            {
                differences.Add($"{name}: declared {value}, the compiler says {said}");
            }
        }

        return differences;
    }

    private static class WrongStructs
    {
#pragma warning disable IDE1006, CS8981, CS0649
        public struct pollfd
        {
            public int fd;
            public int wrong;
            public short events;
            public short revents;
        }
#pragma warning restore IDE1006, CS8981, CS0649
    }
}
