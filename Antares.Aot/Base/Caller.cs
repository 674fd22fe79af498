namespace Antares.Aot.Base;

/// <summary>Who asks: the credentials that a request carries.</summary>
/// <param name="Uid">fsuid of the calling thread.</param>
/// <param name="Gid">fsgid of the calling thread.</param>
/// <param name="Pid">Thread id of the caller in the server's pid namespace; 0 for write-back of mapped pages.</param>
/// <param name="Umask">umask of the caller (create, mknod, mkdir only).</param>
public readonly record struct Caller(uint Uid, uint Gid, uint Pid, uint Umask);
