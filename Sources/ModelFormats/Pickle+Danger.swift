extension Pickle.Global {
  /// What unpickling would have done with this, where that is known to be harmful; nil otherwise.
  ///
  /// A list can only name what is known; nothing is executed here whether listed or not.
  package var danger: String? {
    let moduleParts = module.split(separator: ".")
    let parts = moduleParts + name.split(separator: ".")
    if let reason = Pickle.Global.reason(for: parts[...], isWhole: true) { return reason }
    // A dotted name reaches through modules that others happen to import: logging's `os.system`.
    for start in moduleParts.count..<max(moduleParts.count, parts.count - 1) {
      if let reason = Pickle.Global.reason(for: parts[start...], isWhole: false) { return reason }
    }
    let inner: Set<Substring> = [
      "__globals__", "__builtins__", "__subclasses__", "__code__", "__dict__", "__class__",
      "__getattribute__", "__closure__", "__mro__", "__bases__", "__loader__", "__spec__",
    ]
    return parts[moduleParts.count...].contains(where: inner.contains)
      ? "reaches into other objects" : nil
  }

  /// What the longest listed beginning of a path does.
  private static func reason(for path: ArraySlice<Substring>, isWhole: Bool) -> String? {
    // What torch.save and TorchScript write themselves.
    if isWhole,
      path.elementsEqual(["torch", "serialization", "_get_layout"])
        || path.starts(with: ["torch", "jit", "_pickle"])
    {
      return nil
    }
    // No listed path is longer; a name may have thousands of parts.
    for count in stride(from: min(path.count, 5), to: 0, by: -1) {
      let beginning = path.prefix(count).joined(separator: ".")
      if let reason = reasons[beginning] { return reason }
    }
    return nil
  }

  /// Modules (all that is in them) and single names, by what they do.
  private static let reasons: [String: String] = {
    var reasons: [String: String] = [:]
    for (reason, names) in lists {
      for name in names.split(whereSeparator: \.isWhitespace) { reasons[String(name)] = reason }
    }
    // Python 2 names the built-ins' module otherwise.
    for (name, reason) in reasons where name.hasPrefix("builtins.") {
      reasons["__builtin__." + name.dropFirst("builtins.".count)] = reason
    }
    return reasons
  }()

  private static let lists: [(reason: String, names: String)] = [
    (
      "runs commands or changes files",
      """
      os posix nt posixpath.os ntpath.os subprocess _posixsubprocess _winapi commands popen2 pty
      multiprocessing concurrent asyncio pexpect sh plumbum distutils.spawn distutils.file_util
      distutils.dir_util setuptools ensurepip venv pip webbrowser antigravity _osx_support
      _aix_support uuid._get_command_stdout test.support platform.popen numpy.distutils numpy.f2py
      torch.utils.cpp_extension torch.distributed.launcher torch.distributed.elastic
      torch.distributed.run torch.multiprocessing torch.utils.collect_env
      """
    ),
    (
      "runs code",
      """
      builtins.eval builtins.exec builtins.execfile builtins.compile builtins.__import__
      builtins.breakpoint builtins.input builtins.apply builtins.reload
      sys importlib imp zipimport pkgutil runpy code codeop timeit pdb bdb profile cProfile trace
      tracemalloc doctest unittest pydoc idlelib lib2to3 cgitb site atexit threading _thread
      signal marshal types.CodeType types.FunctionType types.LambdaType ctypes _ctypes cffi _cffi
      logging.config _pyrepl rlcompleter tkinter.commondialog IPython jinja2 yaml pandas.eval
      sympy.sympify sympy.parsing numpy.testing numpy.runstring numpy.exec_command
      numpy.ctypeslib torch.compile torch.hub torch.jit torch._dynamo torch._inductor torch.package
      torch.testing torch.ops.load_library torch.classes.load_library torch._jit_internal
      torch.fx.graph_module torch.utils.bottleneck torch.utils.data.datapipes
      torch.utils._config_module torch.onnx.verification
      """
    ),
    (
      "unpickles further data",
      """
      pickle _pickle cPickle pickletools shelve dill cloudpickle joblib jsonpickle
      torch.load torch.serialization torch.storage._load_from_bytes torch.distributed.checkpoint
      torch.utils.model_dump numpy.load numpy.lib.npyio.load numpy.lib._npyio_impl.load
      pandas.read_pickle pandas.io.pickle keras.models.load_model
      """
    ),
    (
      "uses the network",
      """
      socket _socket ssl _ssl socketserver SocketServer http httplib BaseHTTPServer
      SimpleHTTPServer urllib urllib2 urllib3 requests aiohttp httpx ftplib smtplib smtpd poplib
      imaplib nntplib telnetlib xmlrpc xmlrpclib wsgiref websocket websockets boto3 paramiko fabric
      huggingface_hub torch.distributed.rpc torch.utils.model_zoo
      """
    ),
    (
      "reads or changes files",
      """
      builtins.open builtins.file io.open io.open_code io.FileIO _io.open _io.open_code _io.FileIO
      codecs.open shutil tempfile zipfile tarfile fileinput linecache filecmp sqlite3 _sqlite3 dbm
      mmap gzip bz2 lzma logging.FileHandler logging.handlers torch.save torch.from_file
      numpy.save numpy.savez numpy.savetxt numpy.memmap numpy.fromfile
      """
    ),
    (
      "reaches into other objects",
      """
      builtins.getattr builtins.setattr builtins.delattr builtins.globals builtins.locals
      builtins.vars
      operator.attrgetter operator.methodcaller operator.itemgetter operator.call
      _operator.attrgetter _operator.methodcaller _operator.itemgetter _operator.call
      inspect gc types.MethodType
      """
    ),
    (
      "calls whatever it is given",
      "functools.partial functools.partialmethod functools.reduce _functools.partial"
    ),
  ]
}
