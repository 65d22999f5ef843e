import ArgumentParser
import Diffusion

/// Additional networks and adapters.
struct NetworkOptions: ParsableArguments {
  @Option(.lora) var lora: [String] = []
  @Option(.control) var control: [String] = []
  @Option(.controlImage) var controlImage: [String] = []
  @Option(.controlScale) var controlScale: [JobNumber] = []
  @Option(.controlStart) var controlStart: [JobNumber] = []
  @Option(.controlEnd) var controlEnd: [JobNumber] = []
  @Option(.tinyVAE) var tinyVAE: String?
  @Option(.tinyVAEFor) var tinyVAEFor: TinyAutoencoderUse?
  @Flag(.noSafetyChecker) var noSafetyChecker = false

  func fill(_ job: inout DrawingJob) {
    job.lora = lora.isEmpty ? nil : lora
    job.control = control.isEmpty ? nil : control
    job.controlImage = controlImage.isEmpty ? nil : controlImage
    job.controlScale = controlScale.isEmpty ? nil : controlScale
    job.controlStart = controlStart.isEmpty ? nil : controlStart
    job.controlEnd = controlEnd.isEmpty ? nil : controlEnd
    job.tinyVAE = tinyVAE
    job.tinyVAEFor = tinyVAEFor
    job.noSafetyChecker = noSafetyChecker ? true : nil
  }
}
