// Two tests at a time: more only makes each slower on the two cores that CI has.
[assembly: CollectionBehavior(MaxParallelThreads = 2)]

namespace Antares.Aot.Tests.Support;

/// <summary>Tests that count requests, drop the kernel's caches or measure: they run while no other test does.</summary>
[CollectionDefinition("Alone", DisableParallelization = true)]
public sealed class AloneCollection;
