using Antares.Aot.Tests.Differential;

namespace Antares.Aot.Tests.Unit;

public sealed class DifferentialModelTests
{
    /// <summary>Whatever is drawn: the generator comes to an end, and its tree has no loops.</summary>
    [Fact]
    public void EverySeedMakesAScenario()
    {
        for (ulong seed = 1; seed <= 400; seed++)
            Assert.NotEmpty(Scenario.Of(2026112670000 + seed).Steps);
    }

    [Fact]
    public void TheRootIsNeitherMovedNorMadeAgain()
    {
        var model = new TreeModel();
        Assert.NotNull(model.Add("d", new ModelNode('d')));
        Assert.Null(model.Add(".", new ModelNode('d')));
        Assert.False(model.Rename("d", ".", exchange: true, noReplace: false));
        Assert.False(model.Rename(".", "d", exchange: true, noReplace: false));
        Assert.Equal(["d"], model.All().Select(p => p.Path));
    }
}
