using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;

namespace Antares.Aot.Mounts;

/// <summary>What <c>stats</c> tells of a mount beside its requests: how much it holds, and what it had to do for it.</summary>
internal static class MountGauges
{
    /// <summary>Adds the gauges; each is read when somebody asks.</summary>
    public static void Add(MountDiagnostics diagnostics, OverlayFs overlay, IReadOnlyList<ILayer> lowers)
    {
        diagnostics.AddGauge("inodes_looked_up", () => overlay.InodesLookedUp);
        diagnostics.AddGauge("lower_objects_changed", () => overlay.Records);
        diagnostics.AddGauge("upper_nodes", () => overlay.UpperNodes);
        diagnostics.AddGauge("unlinked_held_open", () => overlay.OrphansHeld);
        diagnostics.AddGauge("unlinked_in_work", () => overlay.OrphansInWork);
        diagnostics.AddGauge("copied_up", () => overlay.CopyUp.Copies);
        diagnostics.AddGauge("copied_up_bytes", () => overlay.CopyUp.Bytes);
        diagnostics.AddGauge("gc_collections", () => GC.CollectionCount(0));
        diagnostics.AddGauge("gc_allocated_bytes", () => GC.GetTotalAllocatedBytes());
        foreach (ImageLayer image in lowers.Select(ImageLayer.Of).OfType<ImageLayer>())
        {
            diagnostics.AddGauge("image_nodes", () => image.NodeCount);
            diagnostics.AddGauge("image_metadata_bytes", () => image.MetadataBytes);
            diagnostics.AddGauge("image_frame_held_bytes", () => image.FrameHeldBytes);
            diagnostics.AddGauge("image_frame_hits", () => image.FrameHits);
            diagnostics.AddGauge("image_frame_loads", () => image.FrameLoads);
            diagnostics.AddGauge("image_frame_failures", () => image.FrameFailures);
            if (image.Remote is { } remote)
            {
                diagnostics.AddGauge("image_frames_fetched", () => remote.Fetched);
                diagnostics.AddGauge("image_requests_waiting", () => remote.RequestsWaiting);
                AddServer(diagnostics, remote.Client, remote.Store);
                AddAhead(diagnostics, image.Prefetcher);
            }
        }

        foreach (DicfuseLayer tree in lowers.OfType<DicfuseLayer>())
        {
            diagnostics.AddGauge("dicfuse_nodes", () => tree.NodeCount);
            diagnostics.AddGauge("dicfuse_arena_bytes", () => (long)tree.ArenaBytes);
            diagnostics.AddGauge("dicfuse_name_bytes", () => (long)tree.NameBytes);
            diagnostics.AddGauge("dicfuse_table_bytes", () => tree.TableBytes);
            diagnostics.AddGauge("dicfuse_directories_loaded", () => tree.DirectoryLoads);
            diagnostics.AddGauge("dicfuse_frames_held", () => tree.FramesHeld);
            diagnostics.AddGauge("dicfuse_frames_raw_bytes", () => tree.FrameRawBytes);
            diagnostics.AddGauge("dicfuse_frames_packed_bytes", () => tree.FramePackedBytes);
            diagnostics.AddGauge("dicfuse_frames_spilled_bytes", () => tree.FrameSpilledBytes);
            diagnostics.AddGauge("dicfuse_frame_memory_bytes", () => tree.FrameMemoryBytes);
            diagnostics.AddGauge("dicfuse_frame_hits", () => tree.FrameHits);
            diagnostics.AddGauge("dicfuse_frame_loads", () => tree.FrameLoads);
            diagnostics.AddGauge("dicfuse_frames_damaged", () => tree.FramesDamaged);
            diagnostics.AddGauge("dicfuse_requests_waiting", () => tree.RequestsWaiting);
            diagnostics.AddGauge("dicfuse_source_changes", () => tree.SourceChanges);
            if (tree.Tree.Source is MegaSource mega)
            {
                AddServer(diagnostics, mega.Client.Web, mega.Store);
                diagnostics.AddGauge("names_redirected", () => tree.Tree.Edits?.All.Length ?? 0);
                diagnostics.AddGauge("views_exchanged", () => mega.Moves.Moves);
                diagnostics.AddGauge("server_drifts", () => mega.Trees.Drifts);
                diagnostics.AddGauge("sizes_corrected", () => mega.SizesCorrected);
                AddAhead(diagnostics, mega.Prefetcher);
            }
        }
    }

    private static void AddServer(MountDiagnostics diagnostics, WebClient client, ObjectStore store)
    {
        diagnostics.AddGauge("server_requests", () => client.Requests);
        diagnostics.AddGauge("server_retries", () => client.Retries);
        diagnostics.AddGauge("server_bytes", () => client.ReceivedBytes);
        diagnostics.AddGauge("store_reads", () => store.Hits);
        diagnostics.AddGauge("store_written_bytes", () => store.WrittenBytes);
        diagnostics.AddGauge("store_damaged", () => store.Damaged);
        diagnostics.AddGauge("store_memory_bytes", () => store.Room.Memory.Bytes);
    }

    private static void AddAhead(MountDiagnostics diagnostics, Prefetcher? ahead)
    {
        if (ahead is not null)
        {
            diagnostics.AddGauge("prefetched_files", () => ahead.Files);
            diagnostics.AddGauge("prefetched_bytes", () => ahead.Bytes);
            diagnostics.AddGauge("prefetched_directories", () => ahead.Directories);
            diagnostics.AddGauge("prefetch_failures", () => ahead.Failed);
            diagnostics.AddGauge("prefetch_waiting", () => ahead.Waiting);
        }
    }
}
