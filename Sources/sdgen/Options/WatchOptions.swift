import ArgumentParser
import Diffusion

/// Options of previews and traces.
struct WatchOptions: ParsableArguments {
  @Option(.previewEvery) var previewEvery: Int?
  @Option(.preview) var preview: PreviewKind?
  @Option(.contactSheet) var contactSheet: String?
  @Option(.contactSheetRows) var contactSheetRows: String?
  @Option(.animation) var animation: String?
  @Flag(.profile) var profile = false
  @Option(.trace) var trace: String?
  @Flag(.show) var show = false
  @Option(.showAs) var showAs: TerminalProtocol?

  func fill(_ job: inout DrawingJob) {
    job.previewEvery = previewEvery
    job.preview = preview
    job.contactSheet = contactSheet
    job.contactSheetRows = contactSheetRows
    job.animation = animation
    job.profile = profile ? true : nil
    job.trace = trace
    job.show = show ? true : nil
    job.showAs = showAs
  }
}
