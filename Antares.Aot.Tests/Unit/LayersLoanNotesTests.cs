using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

public class LayersLoanNotesTests
{
    [Theory]
    [InlineData("lent-1", 1)]
    [InlineData("lent-16777215", 16777215)]
    public void NamesOfNotes(string name, uint number)
    {
        Assert.True(LoanNotes.TryParseName(System.Text.Encoding.UTF8.GetBytes(name), out uint read));
        Assert.Equal(number, read);
    }

    /// <summary>Each number has one name; what has another spelling is no note, and is not taken for the one that has its number.</summary>
    [Theory]
    [InlineData("lent-01")]
    [InlineData("lent-+1")]
    [InlineData("lent-0")]
    [InlineData("lent-")]
    [InlineData("lent-1 ")]
    [InlineData("lent-1x")]
    [InlineData("lent-16777216")]
    [InlineData("Lent-1")]
    public void OtherNames(string name) => Assert.False(LoanNotes.TryParseName(System.Text.Encoding.UTF8.GetBytes(name), out _));
}
