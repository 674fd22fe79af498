using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>st_ino of a folder layer's objects, and the hard links among its names.</summary>
internal sealed unsafe class FolderNumbers : IDisposable
{
    // st_ino of a folder layer: bit 60, the layer's number in bits 59..52, the file's own number below. Numbers that do not fit and
    // files on another device are hashed under bit 61. Dicfuse numbers lie below bit 60, so the three never meet.
    private const ulong FolderBit = 1UL << 60;
    private const ulong HashedBit = 1UL << 61;
    private const ulong NumberMask = (1UL << 52) - 1;

    private readonly NativeMap _links = new();
    private readonly string _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly uint _number;
    private readonly ulong _device;
    private ulong _seenTurn;
    private uint _seenNode;
    private stat _seen;

    /// <param name="layer">Name of the layer for failure notes.</param>
    /// <param name="table">Its names and nodes; the root gets its number at once.</param>
    /// <param name="access">Its files.</param>
    /// <param name="number">Place of the layer in the stack, 0 for the upper.</param>
    /// <param name="root">Attributes of its root.</param>
    public FolderNumbers(string layer, DirectoryTable table, FolderAccess access, uint number, in stat root)
    {
        _layer = layer;
        _table = table;
        _access = access;
        _number = number;
        _device = root.st_dev;
        FolderNode* record = table.Node(ILayer.RootNode);
        record->BackingIno = root.st_ino;
        record->StIno = StInoOf(in root);
        record->Flags |= FolderNodeFlags.Identified;
    }

    /// <summary>The bits of st_ino that keep a layer's numbers apart from those of all other layers.</summary>
    /// <param name="layerNumber">Place in the stack, 1 to 255.</param>
    public static ulong NumberMark(uint layerNumber) => FolderBit | ((ulong)(layerNumber & 0xFF) << 52);

    /// <summary>st_ino shown for an object of this folder.</summary>
    public ulong StInoOf(in stat attributes)
    {
        if (attributes.st_dev == _device && attributes.st_ino <= NumberMask && _number <= byte.MaxValue)
        {
            return NumberMark(_number) | attributes.st_ino;
        }

        ulong* key = stackalloc ulong[2];
        key[0] = attributes.st_dev;
        key[1] = attributes.st_ino;
        return HashedBit | (new ByteName((byte*)key, 16).Hash(_number) & (FolderBit - 1));
    }

    /// <summary>Called when a node loses its last name for good, before its slot is given back.</summary>
    public void DropLink(uint node)
    {
        FolderNode* record = _table.Node(node);
        if ((record->Flags & FolderNodeFlags.InLinkMap) != 0)
        {
            _ = _links.Remove(LinkKey(record->StIno, record->BackingIno));
            record->Flags &= ~FolderNodeFlags.InLinkMap;
        }
    }

    /// <summary>
    /// The node that a name leads to: names of one file on disk lead to one node, found by its (device, number) the first time each name is looked at.
    /// </summary>
    /// <param name="dentry">The name.</param>
    /// <param name="writer">The upper's writer; null in a read-only layer.</param>
    /// <param name="node">The node.</param>
    /// <returns>None; ENOENT: it went away below; EIO: it changed its type while mounted; what looking at it gave.</returns>
    public Errno Canonical(uint dentry, UpperWriter? writer, out uint node)
    {
        node = _table.Name(dentry)->Node;
        FolderNode* record = _table.Node(node);
        if (node == DirectoryTable.WhiteoutNode
            || (record->Flags & FolderNodeFlags.Identified) != 0)
        {
            return Errno.None;
        }

        stat attributes;
        Errno error = _access.Stat(node, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        FileType type = FileTypes.FromMode(attributes.st_mode);
        if (type != record->Type)
        {
            return Failure.Note(_layer, "changed while mounted", Errno.EIO);
        }

        ulong number = StInoOf(in attributes);
        if (writer != null && type != FileType.Directory)
        {
            ulong kept = writer.KeptStIno(node);
            number = kept != 0 ? kept : number;
        }

        record->BackingIno = attributes.st_ino;
        record->StIno = number;
        record->Flags |= FolderNodeFlags.Identified;
        if (type != FileType.Directory && attributes.st_nlink > 1)
        {
            ulong key = LinkKey(number, attributes.st_ino);
            if (_links.TryGet(key, out ulong known) && _table.Node((uint)known)->BackingIno == attributes.st_ino)
            {
                _table.RepointToSame(dentry, (uint)known);
                _access.Cache.Drop(&record->FdSlot);
                _table.FreeNode(node);
                node = (uint)known;
                writer?.Revive(node);
                return Errno.None;
            }

            _links.Set(key, node);
            record->Flags |= FolderNodeFlags.InLinkMap;
        }

        if (writer == null)
        {
            _seen = attributes;
            _seenNode = node;
            _seenTurn = RequestWait.Turn;
        }

        return Errno.None;
    }

    /// <summary>
    /// The attributes that <see cref="Canonical"/> has seen in this very turn of the calling thread's request, of a read-only layer: a first walk needs no
    /// second look at each file.
    /// </summary>
    /// <param name="node">A node.</param>
    /// <param name="attributes">As <see cref="FolderAccess.Stat"/> gave them, when true.</param>
    public bool TrySeen(uint node, stat* attributes)
    {
        if (_seenNode != node || _seenTurn == 0 || _seenTurn != RequestWait.Turn)
        {
            return false;
        }

        *attributes = _seen;
        return true;
    }

    private static ulong LinkKey(ulong stIno, ulong backingIno)
    {
        ulong* key = stackalloc ulong[2];
        key[0] = stIno;
        key[1] = backingIno;
        return new ByteName((byte*)key, 16).Hash(1) | 1;
    }

    public void Dispose() => _links.Dispose();
}
