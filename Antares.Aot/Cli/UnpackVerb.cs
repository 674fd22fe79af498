using System.CommandLine;
using Antares.Aot.Images;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>unpack IMAGE FOLDER</c> and <c>unpack IMAGE --tar FILE</c>.</summary>
internal static class UnpackVerb
{
    public const string Name = "unpack";

    public static Command Create(CommandContext context)
    {
        var path = new Argument<string>("IMAGE") { Description = "An image file" };
        var folder = new Argument<string?>("FOLDER") { Description = "Where to; made when it is missing, else it must be empty", Arity = ArgumentArity.ZeroOrOne };
        var tar = new Option<string?>("--tar") { Description = "Write a tar archive (pax) instead; - is standard output", HelpName = "FILE" };
        var command = new Command(Name, "Write the tree of an image to a folder or a tar archive") { path, folder, tar };
        command.SetAction(result =>
        {
            var target = result.GetValue(folder);
            var archive = result.GetValue(tar);
            if ((target is null) == (archive is null))
            {
                throw MountProblem.Usage("unpack: give a FOLDER, or --tar FILE");
            }

            var file = result.GetRequiredValue(path);
            using var image = ImageFiles.Open(file);
            var left = ImageFiles.Reading(file, () => archive is null ? UnpackJob.ToFolder(image, target!) : UnpackJob.ToTar(image, archive));
            if (left is not null)
            {
                context.Error.WriteLine($"{CommandLine.ProgramName}: {left}");
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
