using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>The errno in a reply: the kernel takes 1 to 511, and refuses what is beyond without answering the request.</summary>
public sealed class FuseReplyErrorTests
{
    [Theory]
    [InlineData(0, 0), InlineData(2, -2), InlineData(511, -511), InlineData(512, -5), InlineData(524, -95), InlineData(4000, -5), InlineData(-3, -5), InlineData(int.MinValue, -5)]
    public void IsOneThatTheKernelTakes(int errno, int told) => Assert.Equal(told, ReplyError.Of((Errno)errno));
}
