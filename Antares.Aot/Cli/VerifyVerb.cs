using System.CommandLine;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Images;

namespace Antares.Aot.Cli;

/// <summary><c>verify IMAGE</c>.</summary>
internal static class VerifyVerb
{
    public const string Name = "verify";

    public static Command Create(CommandContext context)
    {
        var path = new Argument<string>("IMAGE") { Description = "An image file" };
        var command = new Command(Name, $"Check every checksum and rule of an image; exit code {ExitCode.Found} when it is damaged") { path };
        command.SetAction(result =>
        {
            var file = result.GetRequiredValue(path);
            IReadOnlyList<string> problems;
            try
            {
                using var image = ImageFiles.OpenStrict(file);
                using var verifier = new ImageVerifier(image.Image, image.Tree, image.Content, image.Xattrs);
                problems = verifier.Run();
            }
            catch (ImageException problem)
            {
                problems = [problem.Message];
            }

            foreach (var problem in problems)
            {
                context.Error.WriteLine($"{CommandLine.ProgramName}: image {file}: {problem}");
            }

            return problems.Count == 0 ? ExitCode.Ok : ExitCode.Found;
        });
        return command;
    }
}
