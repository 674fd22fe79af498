using Antares.Aot.Base;
using Antares.Aot.Fuse;
using Antares.Aot.Overlay;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

public unsafe class FuseListingTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void FillsUntilNothingFits(bool plus)
    {
        byte* buffer = stackalloc byte[1000];
        byte* name = stackalloc byte[16];
        "abcdef\0"u8.CopyTo(new Span<byte>(name, 16));
        var listing = new Listing { Buffer = buffer, Capacity = 1000, CacheSeconds = 1e9 };
        var item = new DirectoryItem { Name = new ByteName(name, 6), NextCookie = 3, StIno = 9, NodeId = plus ? 12UL : 0UL };
        item.Attributes.st_ino = 9;
        item.Attributes.st_mode = 0x81A4;
        int taken = 0;
        while (plus ? Listing.AddPlus(&listing, &item) : Listing.Add(&listing, &item))
        {
            taken++;
        }

        int record = plus ? sizeof(fuse_direntplus) + 8 : sizeof(fuse_dirent) + 8;
        Assert.Equal(1000 / record, taken);
        Assert.Equal((nuint)(taken * record), listing.Used);
        fuse_dirent* entry = plus ? &((fuse_direntplus*)buffer)->dirent : (fuse_dirent*)buffer;
        Assert.Equal(9UL, entry->ino);
        Assert.Equal(3UL, entry->off);
        Assert.Equal(8u, entry->type);
        Assert.Equal(6u, entry->namelen);
        if (plus)
        {
            Assert.Equal(12UL, ((fuse_direntplus*)buffer)->entry_out.nodeid);
            Assert.Equal(1_000_000_000UL, ((fuse_direntplus*)buffer)->entry_out.entry_valid);
        }
    }
}
