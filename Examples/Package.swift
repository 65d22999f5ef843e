// swift-tools-version: 6.2

import PackageDescription

/// Single-file programs that use sdloom's libraries as another package would.
let package = Package(
  name: "Examples",
  dependencies: [.package(name: "sdloom", path: "..")],
  targets: [
    example("ReadCheckpoint", "Checkpoint"),
    example("ListTensors", "ModelFormats"),
    example("Convert", "Checkpoint"),
    example("ExportUNet", "Checkpoint", "ModelFormats", "ONNXExport"),
    example("Draw", "Checkpoint", "Diffusion", "Pictures"),
  ]
)

/// An executable that uses these libraries.
func example(_ name: String, _ libraries: String...) -> Target {
  .executableTarget(
    name: name, dependencies: libraries.map { .product(name: $0, package: "sdloom") },
    swiftSettings: [.treatAllWarnings(as: .error)])
}
