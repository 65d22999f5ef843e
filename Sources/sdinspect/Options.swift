import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Options of all commands that read a checkpoint.
struct InputOptions: ParsableArguments {
  @Argument(help: "A checkpoint file or a repository directory.", completion: .file())
  var path: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Weights variant to read from a diffusers directory: fp16, non_ema, ….", valueName: "name"))
  var variant: String?

  /// Opens the checkpoint.
  func open() throws -> ModelCheckpoint {
    try ModelCheckpoint.open(path, variant: variant)
  }
}

/// The components to process.
struct ComponentOption: ParsableArguments {
  @Option(
    name: .customLong("component"),
    help: ArgumentHelp(
      "Only these components, separated by commas: text_encoder, unet, vae.",
      valueName: "name"))
  var names: String?

  func validate() throws {
    _ = try names.map(ComponentOption.list)
  }

  /// The selected components of `checkpoint`; all by default.
  ///
  /// - Parameter partly: whether to ignore components that it does not have.
  /// - Throws: ``Failure`` with a component that the checkpoint does not have.
  func select(from checkpoint: ModelCheckpoint, partly: Bool = false) throws -> [Component] {
    guard let names = list else { return checkpoint.components }
    if partly { return checkpoint.components.filter { names.contains($0.name.rawValue) } }
    return try names.map { name in
      guard let component = checkpoint[ComponentName(rawValue: name)] else {
        throw Failure.usage(
          "\(checkpoint.path) has no component \(name)",
          hint: "its components: "
            + checkpoint.components.map(\.name.rawValue).joined(separator: ", "))
      }
      return component
    }
  }

  /// The names as given.
  var list: [String]? {
    names.flatMap { try? ComponentOption.list($0) }
  }

  /// The names in a comma-separated list.
  ///
  /// - Throws: `ValidationError` if one is empty.
  static func list(_ text: String) throws -> [String] {
    let names = text.split(separator: ",", omittingEmptySubsequences: false)
      .map { $0.filter { $0 != " " } }
    guard !names.contains("") else {
      throw ValidationError(
        "--component has an empty name in \"\(text)\"; separate names with one comma, "
          + "as in unet,vae")
    }
    return names
  }
}

/// An image size, such as `512x768`.
struct PictureSize {
  let width: Int
  let height: Int

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  init?(argument: String) {
    let parts = argument.split(separator: "x", omittingEmptySubsequences: false)
    guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]) else {
      return nil
    }
    let range = 8...8192
    guard range.contains(width), range.contains(height), width % 8 == 0, height % 8 == 0 else {
      return nil
    }
    self.init(width: width, height: height)
  }

  /// Reads the value of an option.
  ///
  /// - Throws: `ValidationError` with the valid sizes.
  static func parse(_ argument: String) throws -> PictureSize {
    guard let size = PictureSize(argument: argument) else {
      throw ValidationError("width and height must be multiples of 8 from 8 to 8192, as in 512x512")
    }
    return size
  }
}

/// Prints the value as the only thing on stdout.
func printJSON(_ members: JSONObject) {
  var object: JSONObject = ["version": 1]
  for member in members.members { object[member.key] = member.value }
  Console.print(JSON.object(object).text())
}

/// Warnings for JSON output.
func json(_ warnings: [String]) -> JSON { .array(warnings.map { .string($0) }) }

/// Prints warnings to stderr with text output.
func printWarnings(_ warnings: [String]) {
  for warning in warnings { Console.warn(warning) }
}

extension Shape {
  /// The dimensions as a JSON array.
  var json: JSON { .array(dimensions.map { .integer($0) }) }
}
