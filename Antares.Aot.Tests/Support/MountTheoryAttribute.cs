using System.Reflection;
using Xunit.Sdk;

namespace Antares.Aot.Tests.Support;

/// <summary>A test that mounts. It is skipped only where there is no /dev/fuse at all; <see cref="Mount.HostTests"/> then fails the run.</summary>
public sealed class MountFactAttribute : FactAttribute
{
    public MountFactAttribute()
    {
        if (!TestEnvironment.HasFuse)
            Skip = "no /dev/fuse on this host";
    }
}

/// <summary>As <see cref="MountFactAttribute"/>, for each kind of <see cref="MountsAttribute"/>.</summary>
public sealed class MountTheoryAttribute : TheoryAttribute
{
    public MountTheoryAttribute()
    {
        if (!TestEnvironment.HasFuse)
            Skip = "no /dev/fuse on this host";
    }
}

/// <summary>The kinds of mount a test runs on: all that ANTARES_TEST_MOUNTS names, less those that are known to behave otherwise.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class MountsAttribute : DataAttribute
{
    /// <summary>Set where kernel overlayfs deliberately does something else; says what. Such a difference stands in docs/SEMANTICS.md. It holds for our kernel engine too.</summary>
    public string? NotKernel { get; set; }

    /// <summary>Set where kernel overlayfs cannot do it when its lower layer is our FUSE tree; says what. It stands in docs/SEMANTICS.md too.</summary>
    public string? NotOnServedLower { get; set; }

    /// <summary>Set where kernel overlayfs cannot do it when its lower layer is EROFS; says what. It stands in docs/SEMANTICS.md too.</summary>
    public string? NotOnErofs { get; set; }

    /// <summary>Set where a plain folder has no such thing; says what.</summary>
    public string? NotPlain { get; set; }

    /// <summary>Set where a dir: tree has no such thing; says what.</summary>
    public string? NotDir { get; set; }

    /// <summary>Of the cross-section that also runs on the kernel engine, by name and by our own choice, when ANTARES_TEST_MOUNTS names no kinds; all of them run there when it is named.</summary>
    public bool KernelEngineToo { get; set; }

    /// <summary>The test needs O_TMPFILE, which FUSE has from Linux 6.1 on: with older INIT flags it runs on the other kinds only.</summary>
    public bool NeedsTmpfile { get; set; }

    /// <summary>Set where an image has no such thing; says what.</summary>
    public string? NotImage { get; set; }

    public override IEnumerable<object[]> GetData(MethodInfo testMethod)
    {
        if (NeedsTmpfile && TestEnvironment.MountOptions.Contains("--init-mask"))
        {
            yield return [MountKind.Plain];
            yield break;
        }
        bool any = false;
        MountKind[] kinds = KernelEngineToo && TestEnvironment.HasDefaultKinds ? [.. TestEnvironment.Kinds, MountKind.AntaresKernel, MountKind.AntaresKernelImage, MountKind.AntaresAuto] : TestEnvironment.Kinds;
        foreach (MountKind kind in kinds.Where(kind => kind != MountKind.AntaresAuto || TestEnvironment.MountOptions.Length == 0)) // with options it chooses by them
        {
            bool isKernels = kind == MountKind.Kernel || kind.IsKernelEngine();
            if ((isKernels && NotKernel != null) || (kind is MountKind.AntaresKernel or MountKind.AntaresKernelImage && NotOnServedLower != null) || (kind == MountKind.AntaresKernelImage && NotOnErofs != null) || (kind == MountKind.Plain && NotPlain != null)
                || (kind.IsDir() && NotDir != null) || (kind is MountKind.AntaresImage or MountKind.AntaresKernelImage && NotImage != null))
                continue;
            any = true;
            yield return [kind];
        }
        if (!any)
            yield return [MountKind.Plain]; // none of the kinds asked for has it; a theory without data is an error
    }
}
