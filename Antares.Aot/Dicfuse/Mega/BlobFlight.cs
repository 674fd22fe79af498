namespace Antares.Aot.Dicfuse.Mega;

/// <summary>The fetch of one blob: everybody who wants it waits for the same one.</summary>
internal sealed class BlobFlight
{
    private readonly TaskCompletionSource<long> _length = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _wanted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when the blob is in the store, or with the reason why it is not.</summary>
    public Task<long> Whole { get; set; } = Task.FromResult(0L);

    /// <summary>Ends as soon as the length is known: for a long blob before its content is here.</summary>
    public Task<long> Length => _length.Task;

    /// <summary>Somebody waits for the content, not only for the length.</summary>
    public bool IsWanted => _wanted.Task.IsCompleted;

    public void Want() => _ = _wanted.TrySetResult(); // may be known

    public void TellLength(long length) => _ = _length.TrySetResult(length); // may be known

    public void Fail(Exception reason)
    {
        _ = _length.TrySetException(reason); // may be known
        _ = _length.Task.Exception; // looked at: nobody may be waiting
    }

    /// <summary>Waits a moment for somebody who wants the content.</summary>
    public Task WaitWanted(int milliseconds, CancellationToken stop) => Task.WhenAny(_wanted.Task, Task.Delay(milliseconds, stop));
}
