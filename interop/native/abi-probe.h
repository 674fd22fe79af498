/*
 * Prints what the C compiler makes of every native struct, constant and function that Antares.Interop declares, one
 * `name value` per line, for the tests to compare with the C# side:
 *
 *   size:<struct> bytes              offset:<struct>.<field> bytes        const:<NAME> value
 *   bit:<struct>.<field> bit offset  op:<field> kinds of its parameters   call:<function> kinds of result and parameters
 *
 * A declaration of the C# side that no line here answers fails the test, so that nothing goes unchecked. Only members
 * that begin with __ are left out: they are room for growth, which newer headers cut up; the size says enough of them.
 */
#ifndef ABI_PROBE_H
#define ABI_PROBE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIZE(name) printf("size:" #name " %zu\n", sizeof(struct name))
#define SIZE_OF_TYPE(name) printf("size:" #name " %zu\n", sizeof(name))
#define FIELD(name, field) printf("offset:" #name "." #field " %zu\n", offsetof(struct name, field))
#define CONST(name) printf("const:" #name " %lld\n", (long long)(name))

/* How an argument travels: a width and signedness, or a pointer. */
#define KIND(type) \
    _Generic((type)0, short: "i16", int: "i32", unsigned: "u32", long: "i64", unsigned long: "u64", double: "f64", default: "ptr")

#define KINDS_0() ""
#define KINDS_1(a) KIND(a)
#define KINDS_2(a, b) KIND(a), KIND(b)
#define KINDS_3(a, ...) KIND(a), KINDS_2(__VA_ARGS__)
#define KINDS_4(a, ...) KIND(a), KINDS_3(__VA_ARGS__)
#define KINDS_5(a, ...) KIND(a), KINDS_4(__VA_ARGS__)
#define KINDS_6(a, ...) KIND(a), KINDS_5(__VA_ARGS__)
#define KINDS_7(a, ...) KIND(a), KINDS_6(__VA_ARGS__)
#define KINDS_8(a, ...) KIND(a), KINDS_7(__VA_ARGS__)
#define KINDS_9(a, ...) KIND(a), KINDS_8(__VA_ARGS__)
#define KINDS_OF(_1, _2, _3, _4, _5, _6, _7, _8, _9, kinds, ...) kinds
#define KINDS(...) \
    KINDS_OF(__VA_ARGS__, KINDS_9, KINDS_8, KINDS_7, KINDS_6, KINDS_5, KINDS_4, KINDS_3, KINDS_2, KINDS_1)(__VA_ARGS__)

/* The types written here must be the header's own: if not, this does not compile. */
#define SAME(actual, ...) _Static_assert(__builtin_types_compatible_p(__typeof__(actual), __VA_ARGS__), #actual)

#define CALL(function, result, ...)                                        \
    do {                                                                   \
        SAME(&function, result (*)(__VA_ARGS__));                          \
        print_kinds("call:" #function, KIND(result), KINDS(__VA_ARGS__), NULL); \
    } while (0)

#define CALL_NO_RESULT(function, ...)                                      \
    do {                                                                   \
        SAME(&function, void (*)(__VA_ARGS__));                            \
        print_kinds("call:" #function, "void", KINDS(__VA_ARGS__), NULL);  \
    } while (0)

#define CALL_NO_ARGUMENTS(function, result)                                \
    do {                                                                   \
        SAME(&function, result (*)(void));                                 \
        print_kinds("call:" #function, KIND(result), NULL);                \
    } while (0)

/* Kinds up to a NULL. */
void print_kinds(const char *name, ...);

void probe_libc(void);
void probe_libfuse(void);
void probe_fuse(void);

#endif
