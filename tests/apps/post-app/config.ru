run lambda { |env|
  said = "#{env['REQUEST_METHOD']} #{env['rack.input'].read.bytesize}"
  [200, { 'content-type' => 'text/plain', 'content-length' => said.bytesize.to_s }, [said]]
}
