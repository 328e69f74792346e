# A link by request.base_url, and a form with its token. SSL: force_ssl.

require "logger"
require "tmpdir"
require "rails"
require "action_controller/railtie"

class App < Rails::Application
  config.root = Dir.mktmpdir
  config.eager_load = false
  config.secret_key_base = "x" * 64
  config.logger = Logger.new($stdout)
  config.consider_all_requests_local = true
  config.force_ssl = true if ENV["SSL"]
  routes.append do
    root "home#index"
    post "/f", to: "home#form"
    get "/left", to: "home#left"
  end
end

class HomeController < ActionController::Base
  protect_from_forgery with: :exception
  PAGE = <<~ERB
    <!doctype html><a href="<%= request.base_url %>/left">left</a>
    <form method=post action=/f>
    <input name=authenticity_token value="<%= controller.send(:form_authenticity_token) %>">
    <button>Send</button></form>
  ERB

  def index
    render inline: PAGE
  end

  def form
    redirect_to "/left"
  end

  def left
    render html: "<h1>left</h1>".html_safe
  end
end

Rails.application.initialize!
run Rails.application
