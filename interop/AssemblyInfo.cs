using System.Runtime.CompilerServices;

// Every argument is blittable: the runtime must never marshal on its own, and a type that would need it does not compile.
[assembly: DisableRuntimeMarshalling]
