using Antares.Aot.Tests.Differential;

namespace Antares.Aot.Tests.Unit;

/// <summary>The mutants of the differential test are changes of the sources: whoever changes those places must look after the mutants too.</summary>
public sealed class MutantEditTests
{
    [Fact]
    public void EachEditFindsItsPlaceOnce() => Assert.NotEmpty(MutatedBinary.Mutate(MutatedBinary.Read()));
}
