import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Converts a checkpoint to another layout.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a checkpoint to another layout.",
    discussion: """
      sdflat is one file with everything: every network, tokenizer, scheduler and configuration. \
      safetensors is one file for one component, and a repository directory for a whole pipeline. \
      Values stay exactly as they are unless --dtype is given. OUT appears only when it is whole.

      EXAMPLES
        sdinspect convert stable-diffusion-v1-5 sd15.sdflat --to sdflat
        sdinspect convert unet/diffusion_pytorch_model.bin unet.safetensors --to safetensors
      """)

  @OptionGroup var input: InputOptions

  @Argument(help: "The file or directory to write.", completion: .file())
  var output: String

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp("The layout to write: sdflat or safetensors.", valueName: "layout"))
  var target: Conversion.Target

  @Option(
    help: ArgumentHelp(
      "Cast floating-point tensors: f32, f16 or bf16 (default: as they are).", valueName: "type"))
  var dtype: CastType?

  @OptionGroup var component: ComponentOption

  @Flag(help: "With --dtype f16: values too large become 65504 instead of an error.")
  var saturate = false

  @Flag(help: "Print what would be done, and do nothing.")
  var dryRun = false

  @Flag(help: "Replace OUT if it exists.")
  var force = false

  func run() throws {
    let checkpoint = try input.open()
    var options = Conversion.Options(
      dtype: dtype?.dtype, overwrite: force, saturate: saturate)
    if let names = component.list {
      guard names.count == 1, let name = names.first else {
        throw Failure.usage(
          "--component takes one component here", hint: "convert each into a file of its own")
      }
      options.component = ComponentName(rawValue: name)
      _ = try component.select(from: checkpoint)
    }
    let conversion = try Conversion(
      of: checkpoint, to: target, at: output, options: options)
    if !input.json { printWarnings(checkpoint.warnings) }
    if dryRun {
      if input.json {
        Console.print(JSON.object(object(conversion)).text())
      } else {
        Console.print(conversion.lines.map(Console.sanitized).joined(separator: "\n"))
      }
      return
    }
    let start = Console.seconds()
    let bar = ProgressBar("converting")
    defer { bar.finish() }
    try conversion.execute { progress in
      let rate = Double(progress.bytesDone) / max(bar.elapsed, 1e-3)
      let left = Double(progress.bytesTotal - progress.bytesDone) / max(rate, 1)
      bar.update(
        Double(progress.bytesDone) / Double(max(1, progress.bytesTotal)),
        "\(Format.bytes(progress.bytesDone)) of \(Format.bytes(progress.bytesTotal)), "
          + "\(Format.bytes(Int(rate)))/s, \(Format.seconds(left)) left")
    }
    bar.finish()
    report(conversion, seconds: Console.seconds() - start)
  }

  private func object(_ conversion: Conversion) -> JSONObject {
    var object = conversion.json.object ?? JSONObject()
    object["warnings"] = json(conversion.source.warnings)
    return object
  }

  private func report(_ conversion: Conversion, seconds: Double) {
    if input.json {
      var object = self.object(conversion)
      object["seconds"] = .number(seconds)
      Console.print(JSON.object(object).text())
      return
    }
    let tensors = conversion.parts.reduce(0) { $0 + $1.tensors.count }
    Console.print(
      "wrote \(output): \(tensors) tensors and \(conversion.files.count) files, "
        + "\(Format.bytes(conversion.byteCount)) in \(Format.seconds(seconds))")
    for note in conversion.notes { Console.note("note: " + Console.sanitized(note)) }
  }
}

extension Conversion.Target: ExpressibleByArgument {}

/// A type to cast to, as the command line spells it.
enum CastType: String, ExpressibleByArgument, CaseIterable {
  case f32
  case f16
  case bf16

  var dtype: DType {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    }
  }
}
