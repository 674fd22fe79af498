using Antares.Aot.Fuse;

namespace Antares.Aot.Tests.Unit;

public class FuseMountArgumentsTests
{
    private static readonly FuseOptions s_plain = new() { MountPoint = "/mnt", FsName = "dir:/src" };

    [Fact]
    public void AccessIsAlwaysTheKernels()
    {
        Assert.Equal(
            ["antares-aot", "-o", "fsname=dir:/src,subtype=antares-aot,default_permissions"],
            MountArguments.Make(s_plain, readOnly: false, root: false));
    }

    [Fact]
    public void RootMountsWithSuidAndDevUnlessToldOtherwise()
    {
        FuseOptions options = s_plain with { ExtraMountOptions = ["nosuid", "noexec"] };
        string[] arguments = MountArguments.Make(options, readOnly: true, root: true);
        Assert.EndsWith(",ro,suid,dev,nosuid,noexec", arguments[2], StringComparison.Ordinal);
    }

    [Fact]
    public void OthersComeInWhenAsked() =>
        Assert.Contains(",allow_other", MountArguments.Make(s_plain with { AllowOther = true }, false, false)[2], StringComparison.Ordinal);

    [Fact]
    public void ANameCannotBringOptionsWithIt() =>
        Assert.Equal(@"a\,allow_other\\b", MountArguments.Escape(@"a,allow_other\b"));
}
