import Checkpoint
import ModelFormats
import ONNXExport

// ExportUNet SOURCE FOLDER: writes the UNet of a checkpoint as ONNX in F16.
let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("name a checkpoint and a folder") }
let checkpoint = try ModelCheckpoint.open(arguments[1])
let unet = try checkpoint.require(.unet)

var options = ExportOptions()
options.precision = .f16
options.opset = .v21

let source = NetworkSource(
  graph: try unet.graph(.unet),
  configuration: checkpoint.file(named: "unet/config.json")?.bytes,
  tensor: { (parameter) throws(FormatError) in try unet.tensor(for: parameter) })
let report = try ONNXExporter.export([source], to: arguments[2], options: options) { progress in
  if progress.bytesDone == progress.bytesTotal { print("copied \(progress.bytesTotal) bytes") }
}
for network in report.networks { print("\(network.modelPath): \(network.nodes) nodes") }
