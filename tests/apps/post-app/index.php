<?php
$said = $_SERVER['REQUEST_METHOD'] . ' ' . strlen(file_get_contents('php://input'));
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($said));
echo $said;
