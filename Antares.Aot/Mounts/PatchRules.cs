using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;

namespace Antares.Aot.Mounts;

/// <summary>A patch without the image that it was made for, or over another one, would be a wrong tree.</summary>
internal static class PatchRules
{
    /// <param name="plan">Names the layers.</param>
    /// <param name="layers">The lower layers of the plan, top first.</param>
    /// <exception cref="MountProblem">Host: a patch has not its image below it.</exception>
    public static void Check(MountPlan plan, IReadOnlyList<ILayer> layers)
    {
        for (var i = 0; i < layers.Count; i++)
        {
            if (layers[i] is not ImageLayer { IsPatch: true } patch)
            {
                continue;
            }

            var spec = plan.Lowers[i].Spec;
            string? name;
            try
            {
                name = patch.PatchedName;
            }
            catch (ImageException problem)
            {
                throw MountProblem.Host($"image {spec}: {problem.Message}");
            }

            // Anything in between would show through where the patch left out what is as in its base.
            if (layers.Skip(i + 1).FirstOrDefault(layer => layer is not ImageLayer { IsPatch: true }) is not ImageLayer below || below.PatchName != name)
            {
                throw MountProblem.Host(
                    $"image {spec} is a patch, and the image that it was made for (pack --base) is not the next below it: antares-aot mount BASE MNT --image {spec}");
            }
        }
    }
}
