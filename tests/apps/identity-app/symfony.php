<?php
// A link by Request::getUriForPath. TRUST: it believes a proxy on this machine.
require '/usr/share/php/Symfony/Component/HttpFoundation/autoload.php';

use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

if (getenv('TRUST')) {
    Request::setTrustedProxies(['127.0.0.1', '::1'],
        Request::HEADER_X_FORWARDED_FOR | Request::HEADER_X_FORWARDED_HOST
        | Request::HEADER_X_FORWARDED_PROTO | Request::HEADER_X_FORWARDED_PORT);
}
$link = Request::createFromGlobals()->getUriForPath('/left');
(new Response("<!doctype html><a href='$link'>left</a>"))->send();
