using System.Globalization;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Abi;

/// <summary>What Antares.Interop declares, read by reflection into the same lines as the C probe prints.</summary>
public static partial class Declared
{
    private const BindingFlags Everything =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    // Called with a list of arguments of the caller's choice, which no prototype can be compared with.
    private static readonly HashSet<string> s_variadic = ["syscall", "fcntl", "ioctl", "prctl", "vsnprintf"];

    /// <summary>All lines: size, offset, const, op, call.</summary>
    public static IEnumerable<(string Name, string Value)> Lines()
    {
        foreach (Type type in typeof(Errno).Assembly.GetTypes().Where(t => !t.IsNested && t.Namespace is not null
            && t.Namespace.StartsWith("Antares.Interop", StringComparison.Ordinal)))
        {
            IEnumerable<(string, string)> lines =
                type.IsEnum || type.IsClass ? Constants(type).Concat(Calls(type))
                : IsNative(type) ? Layout(type)
                : [];
            foreach ((string, string) line in lines)
            {
                yield return line;
            }
        }
    }

    /// <summary>Size and offsets of a struct (not of members that begin with __, see abi-probe.h); public so that a deliberately wrong one can be put to the test.</summary>
    public static IEnumerable<(string Name, string Value)> Layout(Type type)
    {
        yield return ($"size:{type.Name}", Number(SizeOf(type)));
        foreach (FieldInfo field in type.GetFields(BindingFlags.Instance | BindingFlags.Public).Where(f => !f.Name.StartsWith("__", StringComparison.Ordinal)))
        {
            long offset = OffsetOf(type, field);
            if (type == typeof(fuse_file_info) && field.Name == nameof(fuse_file_info.bits))
            {
                // Its C form is bit fields: the masks are told one by one.
                foreach (FieldInfo mask in type.GetFields(BindingFlags.Static | BindingFlags.Public))
                {
                    int bit = int.Log2((int)(uint)mask.GetRawConstantValue()!);
                    yield return ($"bit:{type.Name}.{SnakeCase(mask.Name)}", Number((offset * 8) + bit));
                }

                continue;
            }

            if (type == typeof(fuse_file_info) && field.Name == nameof(fuse_file_info.padding2))
            {
                yield return ($"bit:{type.Name}.{field.Name}", Number(offset * 8));
                continue;
            }

            yield return ($"offset:{type.Name}.{field.Name}", Number(offset));
            if (type == typeof(fuse_lowlevel_ops))
            {
                yield return ($"op:{field.Name}", string.Join(',', field.FieldType.GetFunctionPointerParameterTypes().Select(Kind)));
            }
        }
    }

    private static IEnumerable<(string Name, string Value)> Constants(Type type) =>
        from field in type.GetFields(Everything)
        where field.IsLiteral && CName().IsMatch(field.Name)
        select ($"const:{field.Name}", Number(Widen(field.GetRawConstantValue()!)));

    private static IEnumerable<(string Name, string Value)> Calls(Type type)
    {
        foreach (MethodInfo method in type.GetMethods(Everything))
        {
            LibraryImportAttribute? import = method.GetCustomAttribute<LibraryImportAttribute>();
            string name = import?.EntryPoint ?? method.Name;
            if (import is not null && !s_variadic.Contains(name))
            {
                IEnumerable<Type> types = method.GetParameters().Select(p => p.ParameterType).Prepend(method.ReturnType);
                yield return ($"call:{name}", string.Join(',', types.Select(Kind)));
            }
        }
    }

    private static bool IsNative(Type type) =>
        type.IsValueType && !char.IsUpper(type.Name[0]) && type.GetFields(Everything).Any(f => !f.IsStatic);

    private static string Kind(Type type) =>
        type.IsPointer || type.IsFunctionPointer ? "ptr"
        : type == typeof(void) ? "void"
        : type == typeof(short) ? "i16"
        : type == typeof(int) ? "i32"
        : type == typeof(uint) ? "u32"
        : type == typeof(long) || type == typeof(nint) ? "i64"
        : type == typeof(ulong) || type == typeof(nuint) ? "u64"
        : type == typeof(double) ? "f64"
        : $"unknown kind {type}";

    private static long Widen(object value) => value is ulong wide ? unchecked((long)wide) : Convert.ToInt64(value, CultureInfo.InvariantCulture);

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string SnakeCase(string name) =>
        string.Concat(name.Select((c, i) => char.IsUpper(c) && i > 0 ? "_" + char.ToLowerInvariant(c) : char.ToLowerInvariant(c).ToString()));

    private static int SizeOf(Type type) =>
        (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    // The layout the runtime uses, not the one it would marshal to.
    private static long OffsetOf(Type type, FieldInfo field)
    {
        DynamicMethod method = new("OffsetOf", typeof(long), [], typeof(Declared).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        LocalBuilder local = il.DeclareLocal(type);
        il.Emit(OpCodes.Ldloca, local);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldloca, local);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I8);
        il.Emit(OpCodes.Ret);
        return (long)method.Invoke(null, null)!;
    }

    // C constants: capitals, or a prefix in capitals and an underscore (SYS_openat2). Our own are in CamelCase.
    [GeneratedRegex("^(_?[A-Z][A-Z0-9_]*|SYS_[a-z0-9_]+)$")]
    private static partial Regex CName();
}
