/* A program as on a kernel of the version 5.15, as far as system calls go: those that are newer do not exist. */
#include "fsprobe.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { FIRST_NEWER = 449 /* futex_waitv, 5.16 */, FCHMODAT2 = 452 };

/* linux515 COMMAND…: runs it; ends with 97 where that cannot be arranged */
int linux515_main(int argc, char **argv)
{
    if (argc < 3) { fprintf(stderr, "usage: fsprobe linux515 COMMAND…\n"); return 2; }
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_NEWER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    /* Without privileges only for what gets none by exec either. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0
        && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)) {
        perror("fsprobe: seccomp");
        return 97;
    }
    /* A filter that lets one through would prove nothing. */
    if (syscall(FCHMODAT2, -1, "", 0, 0) != -1 || errno != ENOSYS) { fprintf(stderr, "fsprobe: a newer system call is still there\n"); return 97; }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 97;
}
