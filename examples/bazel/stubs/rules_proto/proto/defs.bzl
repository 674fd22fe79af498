# What Bazel's embedded tools load from rules_proto: at this version the rules are native.
proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
