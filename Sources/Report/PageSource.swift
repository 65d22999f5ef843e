import CReportPage

/// The parts of the page that are the same in every report.
enum PageSource {
  static let style = bytes(report_page_style)
  static let body = bytes(report_page_body)
  static let script = bytes(report_page_script)

  private static func bytes(
    _ part: (UnsafeMutablePointer<Int>) -> UnsafePointer<CChar>
  ) -> [UInt8] {
    var count = 0
    let start = part(&count)
    return [UInt8](UnsafeRawBufferPointer(start: start, count: count))
  }
}
