// swift-tools-version: 6.2

import PackageDescription

/// Swift 6 everywhere; a warning is an error in every target of ours.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

/// For the target that reads hostile bytes: every unsafe use is spelled out.
let hardened: [SwiftSetting] =
  strict + [
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
  ]

let package = Package(
  name: "sdloom",
  products: [
    .library(name: "ModelFormats", targets: ["ModelFormats"]),
    .library(name: "FlatFormat", targets: ["FlatFormat"]),
    .library(name: "ModelGraph", targets: ["ModelGraph"]),
    .library(name: "Checkpoint", targets: ["Checkpoint"]),
    .library(name: "ONNXExport", targets: ["ONNXExport"]),
    .library(name: "Engine", targets: ["Engine"]),
    .library(name: "Pictures", targets: ["Pictures"]),
    .library(name: "Diffusion", targets: ["Diffusion"]),
    .library(name: "Report", targets: ["Report"]),
    .executable(name: "sdinspect", targets: ["sdinspect"]),
    .executable(name: "sdgen", targets: ["sdgen"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
  ],
  targets: [
    // C libraries of the system: a module map and a shim header each.
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CProtobufC", providers: [.apt(["libprotobuf-c-dev"])]),
    .systemLibrary(name: "CSPNG", providers: [.apt(["libspng-dev"])]),
    .systemLibrary(name: "CTurboJPEG", providers: [.apt(["libturbojpeg0-dev"])]),
    .systemLibrary(name: "CWebP", providers: [.apt(["libwebp-dev"])]),
    .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),

    // Calls of Linux that Glibc's module leaves out.
    .target(name: "CLinux", cSettings: [.treatAllWarnings(as: .error)]),
    // The commit for --version: `make` passes it in SDLOOM_COMMIT. Hexadecimal digits and "-dirty" only,
    // since it becomes C.
    .target(
      name: "CVersion",
      cSettings: [.treatAllWarnings(as: .error)]
        + (Context.environment["SDLOOM_COMMIT"].map { commit in
          [
            .define(
              "SDLOOM_COMMIT",
              to: "\"\(commit.filter { $0.isLetter || $0.isNumber || $0 == "-" })\"")
          ]
        } ?? [])),
    // CRC-32, of which zlib's own is slower than a copy.
    .target(
      name: "CChecksum", dependencies: ["CZlib"], cSettings: [.treatAllWarnings(as: .error)]),
    // Our own C: kernels that oneDNN lacks, casts, and the thread pool they share with it.
    .target(
      name: "CKernels",
      cSettings: [.treatAllWarnings(as: .error), .headerSearchPath(".")],
      linkerSettings: [.linkedLibrary("m")]),
    // oneDNN, opened when it is first needed; Debian's libdnnl-dev has the headers.
    .target(name: "COneDNN", cSettings: [.treatAllWarnings(as: .error)]),
    // ONNX Runtime, opened when it is asked for, without its headers.
    .target(name: "COnnxRuntime", cSettings: [.treatAllWarnings(as: .error)]),
    // Messages generated from Sources/COnnx/onnx.proto by `make generate`.
    .target(
      name: "COnnx", dependencies: ["CProtobufC"], exclude: ["onnx.proto"],
      linkerSettings: [.linkedLibrary("protobuf-c")]),

    .target(name: "OrderedJSON", swiftSettings: hardened),
    // Work on threads of our own.
    .target(name: "Threads", dependencies: ["CLinux"], swiftSettings: strict),
    .target(
      name: "ModelFormats", dependencies: ["CChecksum", "CLinux", "CZlib", "OrderedJSON"],
      swiftSettings: hardened),
    .target(
      name: "FlatFormat", dependencies: ["OrderedJSON", "ModelFormats", "Threads", "CXXHash"],
      swiftSettings: strict),
    .target(name: "ModelGraph", dependencies: ["OrderedJSON"], swiftSettings: strict),
    .target(
      name: "Checkpoint",
      dependencies: [
        "OrderedJSON", "ModelFormats", "FlatFormat", "ModelGraph", "Threads", "CChecksum",
        "CKernels",
        "CLinux", "CXXHash",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: strict),
    .target(
      name: "ONNXExport",
      dependencies: [
        "OrderedJSON", "ModelFormats", "ModelGraph", "Checkpoint", "COnnx",
      ],
      swiftSettings: strict),
    // Style, body and script of the report's page, embedded in the program.
    .target(
      name: "CReportPage", exclude: ["page"], cSettings: [.treatAllWarnings(as: .error)]),
    .target(
      name: "Report",
      dependencies: [
        "OrderedJSON", "ModelFormats", "ModelGraph", "Checkpoint", "CReportPage",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: strict),
    .target(
      name: "Engine",
      dependencies: [
        "OrderedJSON", "ModelFormats", "ModelGraph", "Threads", "CKernels", "COneDNN",
        "COnnxRuntime",
      ],
      swiftSettings: strict),
    .target(
      name: "Pictures",
      dependencies: ["OrderedJSON", "ModelFormats", "CSPNG", "CTurboJPEG", "CWebP", "CZlib"],
      swiftSettings: strict),
    .target(
      name: "Diffusion",
      dependencies: [
        "CLinux", "OrderedJSON", "ModelFormats", "ModelGraph", "Checkpoint", "Engine", "ONNXExport",
        "Pictures", "Threads", .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: strict),
    .target(
      name: "Terminal",
      dependencies: [
        "CVersion", "OrderedJSON", "ModelFormats",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "sdinspect",
      dependencies: [
        "Terminal", "OrderedJSON", "ModelFormats", "ModelGraph", "Checkpoint", "ONNXExport",
        "Report",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "sdgen",
      dependencies: [
        "Terminal", "OrderedJSON", "ModelFormats", "ModelGraph", "Checkpoint", "Engine",
        "Pictures", "Diffusion",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // Makes the man pages of both programs from what --help says; run by `make install`.
    .executableTarget(
      name: "sdmanual", dependencies: ["Terminal", "OrderedJSON"], swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["ModelFormats", "OrderedJSON", "Pictures"],
      path: "Tests/TestSupport",
      swiftSettings: strict),
    .testTarget(name: "ThreadsTests", dependencies: ["Threads"], swiftSettings: strict),
    .testTarget(
      name: "OrderedJSONTests", dependencies: ["OrderedJSON"], swiftSettings: strict),
    .testTarget(
      name: "ModelFormatsTests",
      dependencies: [
        "CChecksum", "ModelFormats", "OrderedJSON", "TestSupport",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      exclude: ["Oracle"], swiftSettings: strict),
    .testTarget(
      name: "ModelGraphTests", dependencies: ["ModelGraph", "OrderedJSON", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "CheckpointTests",
      dependencies: [
        "Checkpoint", "FlatFormat", "CKernels", "CXXHash", "ModelFormats", "ModelGraph",
        "OrderedJSON", "TestSupport", .product(name: "Crypto", package: "swift-crypto"),
      ],
      exclude: ["Oracle"], swiftSettings: strict),
    .testTarget(
      name: "ReportTests",
      dependencies: [
        "Report", "Checkpoint", "ModelFormats", "ModelGraph", "OrderedJSON", "TestSupport",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      exclude: ["Browser"], swiftSettings: strict),
    .testTarget(
      name: "ONNXExportTests",
      dependencies: [
        "ONNXExport", "Checkpoint", "ModelFormats", "ModelGraph", "OrderedJSON", "TestSupport",
      ],
      exclude: ["Oracle"], swiftSettings: strict),
    .testTarget(
      name: "EngineTests",
      dependencies: [
        "Engine", "CKernels", "COnnxRuntime", "Checkpoint", "ModelFormats", "ModelGraph",
        "ONNXExport", "OrderedJSON", "TestSupport", "Threads",
      ],
      exclude: ["Oracle"],
      swiftSettings: strict),
    .testTarget(
      name: "FlatFormatTests", dependencies: ["FlatFormat", "ModelFormats", "OrderedJSON"],
      swiftSettings: strict),
    .testTarget(
      name: "PicturesTests", dependencies: ["Pictures", "ModelFormats", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "DiffusionTests",
      dependencies: [
        "Diffusion", "Pictures", "Engine", "Checkpoint", "ModelFormats", "ModelGraph",
        "OrderedJSON",
        "TestSupport",
      ],
      exclude: ["Oracle"], swiftSettings: strict),
    .testTarget(
      name: "TerminalTests", dependencies: ["Terminal", "ModelFormats"], swiftSettings: strict),
    .testTarget(
      name: "CommandLineTests",
      dependencies: [
        "sdinspect", "sdgen", "sdmanual", "Diffusion", "Pictures", "ModelFormats", "ModelGraph",
        "OrderedJSON",
        "TestSupport",
      ],
      swiftSettings: strict),
  ]
)

// The headers of another oneDNN than the system's, 2.x or 3.x: SDLOOM_ONEDNN=PREFIX, where include/ and
// lib/ are. The programs look for the library there too. What was compiled for another one must not be
// met: give a --scratch-path of its own too.
if let prefix = Context.environment["SDLOOM_ONEDNN"] {
  package.targets.first { $0.name == "COneDNN" }?.cSettings?.append(
    .unsafeFlags(["-I\(prefix)/include", "-DONEDNN_PREFIX=\"\(prefix)\""]))
}

// SDLOOM_TESTS="NAME NAME": these test targets and what they need only, for builds with coverage or
// sanitizers, which take a minute then. Give such a build a --scratch-path of its own.
if let names = Context.environment["SDLOOM_TESTS"] {
  var needed = Set(names.split(separator: " ").map(String.init))
  var count = 0
  while count != needed.count {
    count = needed.count
    for target in package.targets where needed.contains(target.name) {
      for case .byNameItem(let name, _) in target.dependencies { needed.insert(name) }
    }
  }
  package.targets.removeAll { !needed.contains($0.name) }
  package.products.removeAll()
}
