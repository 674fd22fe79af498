namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// A file is no image that this program reads, or an image is damaged, or one could not be made. The message says what and where;
/// whoever opened or made the image puts its name before it.
/// </summary>
public sealed class ImageException(string message) : Exception(message)
{
}
