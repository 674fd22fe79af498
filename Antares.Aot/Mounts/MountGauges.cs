using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
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
        foreach (ImageLayer image in lowers.OfType<ImageLayer>())
        {
            diagnostics.AddGauge("image_nodes", () => image.NodeCount);
            diagnostics.AddGauge("image_metadata_bytes", () => image.MetadataBytes);
            diagnostics.AddGauge("image_frame_held_bytes", () => image.FrameHeldBytes);
            diagnostics.AddGauge("image_frame_hits", () => image.FrameHits);
            diagnostics.AddGauge("image_frame_loads", () => image.FrameLoads);
            diagnostics.AddGauge("image_frame_failures", () => image.FrameFailures);
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
                diagnostics.AddGauge("server_requests", () => mega.Client.Requests);
                diagnostics.AddGauge("server_retries", () => mega.Client.Retries);
                diagnostics.AddGauge("server_bytes", () => mega.Client.ReceivedBytes);
                diagnostics.AddGauge("names_redirected", () => tree.Tree.Edits?.All.Length ?? 0);
                diagnostics.AddGauge("views_exchanged", () => mega.Moves.Moves);
                diagnostics.AddGauge("server_drifts", () => mega.Trees.Drifts);
                diagnostics.AddGauge("store_reads", () => mega.Store.Hits);
                diagnostics.AddGauge("store_written_bytes", () => mega.Store.WrittenBytes);
                diagnostics.AddGauge("store_damaged", () => mega.Store.Damaged);
                diagnostics.AddGauge("store_memory_bytes", () => mega.Store.Room.Memory.Bytes);
                diagnostics.AddGauge("sizes_corrected", () => mega.SizesCorrected);
                if (mega.Prefetcher is { } ahead)
                {
                    diagnostics.AddGauge("prefetched_files", () => ahead.Files);
                    diagnostics.AddGauge("prefetched_bytes", () => ahead.Bytes);
                    diagnostics.AddGauge("prefetched_directories", () => ahead.Directories);
                    diagnostics.AddGauge("prefetch_failures", () => ahead.Failed);
                    diagnostics.AddGauge("prefetch_waiting", () => ahead.Waiting);
                }
            }
        }
    }
}
