namespace Antares.Aot.Tests.Support;

/// <summary>A git repository in a scratch folder, made by the host's git.</summary>
internal sealed class GitRepository
{
    private readonly string _git;

    public GitRepository(string path)
    {
        Path = path;
        _git = $"git -C {path} -c user.name=Test -c user.email=test@example.org -c commit.gpgsign=false -c core.autocrlf=false";
        _ = Shell.Bash($"git init -q {path} && {_git} config gc.auto 0").Must();
    }

    public string Path { get; }

    /// <summary>Runs a script in the repository and commits all that is there then.</summary>
    /// <returns>Id of the commit.</returns>
    public string Commit(string script)
    {
        _ = Shell.Bash($"set -e\n{script}\n{_git} add -A\n{_git} commit -q --allow-empty -m change", 300, Path, environment: ("GIT_COMMITTER_DATE", "1700000000 +0000")).Must();
        return Head();
    }

    public string Head() => Git("rev-parse HEAD");

    public string Git(string arguments) => Shell.Bash($"{_git} {arguments}", 120, Path).Must().Trim();

    /// <summary>Commits upon a commit, and leaves the head at that one.</summary>
    /// <returns>Id of the new commit.</returns>
    public string CommitAside(string upon, string script)
    {
        _ = Git($"checkout -q --detach {upon}");
        string made = Commit(script);
        _ = Git($"checkout -q --detach {upon}");
        return made;
    }

    /// <summary>A checkout of a commit elsewhere.</summary>
    public string Checkout(string commit, string folder)
    {
        _ = Git($"worktree add -q -f --detach {folder} {commit}");
        return folder;
    }

    /// <summary>A tree with everything that a listing without modes hides.</summary>
    public string CommitSample() => Commit(
        """
        mkdir -p src/deep/er "odd + names" third-party/foo/lib
        printf 'hello\n' > README
        printf '#!/bin/sh\necho hi\n' > src/run.sh && chmod 755 src/run.sh
        printf 'int main;\n' > src/main.c
        ln -s ../README src/link
        head -c 300000 /dev/urandom > src/deep/big
        : > src/deep/er/empty
        printf 'x' > 'odd + names/a&b=c%20?d#e'
        printf 'y' > 'odd + names/ümläut'
        printf 'foo\n' > third-party/foo/lib/foo.c
        printf 'top\n' > third-party/foo/FOO
        """);
}
